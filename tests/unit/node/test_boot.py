"""The start of a node: its layer can be mounted again, however the node ended."""

from pathlib import Path

from migrascope.node.boot import forget_mount


def test_a_layer_that_was_mounted_volatile_can_be_mounted_again(tmp_path: Path) -> None:
    (tmp_path / "work/incompat/volatile").mkdir(parents=True)
    forget_mount(tmp_path)
    assert (tmp_path / "work").exists()
    assert not (tmp_path / "work/incompat/volatile").exists()
    forget_mount(tmp_path)
