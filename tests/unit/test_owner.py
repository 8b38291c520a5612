"""Under sudo, what a run leaves belongs to the user who called it."""

import os
from pathlib import Path

import pytest

from migrascope.cli.owner import hand_over

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@needs_root
def test_what_root_made_goes_to_the_caller_and_links_are_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("")
    runs = tmp_path / "runs"
    (runs / "1").mkdir(parents=True)
    (runs / "1" / "file").write_text("")
    (runs / "latest").symlink_to(outside)
    os.chown(runs / "1" / "file", 4321, 4321)
    hand_over(runs, {"SUDO_UID": "1234", "SUDO_GID": "1235"})
    owners = {path.name: (path.lstat().st_uid, path.lstat().st_gid) for path in (runs, *runs.rglob("*"))}
    assert owners == {"runs": (1234, 1235), "1": (1234, 1235), "file": (4321, 4321), "latest": (1234, 1235)}
    assert outside.stat().st_uid == 0


def test_without_sudo_nothing_changes_hands(tmp_path: Path) -> None:
    before = tmp_path.stat().st_uid
    hand_over(tmp_path, {})
    assert tmp_path.stat().st_uid == before
