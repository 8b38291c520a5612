"""Snapshots: what a node gets of one, and how much of this machine's disk that takes."""

from pathlib import Path

from migrascope.node.container import Container
from migrascope.node.namespace import Namespace
from migrascope.testbed import snapshot


async def test_room_that_databases_reserve_is_not_copied(tmp_path: Path) -> None:
    kept, folder = tmp_path / "snapshots/key", tmp_path / "testbed"
    node = Container("one", "ms-x-one", Namespace("ms-x-one"), tmp_path / "image", folder / "one")
    (kept / "one").mkdir(parents=True)
    (kept / "one/log").write_bytes(bytes(2**20) + b"end")
    for name in ("secret", "done.json"):
        (kept / name).write_text(name)
    folder.mkdir()
    assert await snapshot.restore(folder, {"one": node}, "key", lambda text: None, tmp_path / "snapshots")
    assert (node.layer / "log").read_bytes() == bytes(2**20) + b"end"
    assert (node.layer / "log").stat().st_blocks * 512 < 2**19
    assert (folder / "done.json").read_text() == "done.json"
