"""Files that are written as a whole or not at all, and through no link."""

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from migrascope.model.problem import Problem
from migrascope.store.atomic import own_folder, write_json, write_whole


def test_a_link_in_its_place_is_replaced_and_not_followed(tmp_path: Path) -> None:
    others = tmp_path / "others"
    others.write_text("theirs")
    for name in ("report.html", ".report.html.part"):
        (tmp_path / name).symlink_to(others)
    write_whole(tmp_path / "report.html", "ours")
    assert others.read_text() == "theirs"
    assert (tmp_path / "report.html").read_text() == "ours"
    assert not (tmp_path / "report.html").is_symlink()


@pytest.mark.parametrize("call", ["os.fsync", "pathlib.Path.replace"])
def test_a_full_disk_leaves_the_old_file_and_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "summary.json"
    write_json(path, {"a": 1})
    monkeypatch.setattr(call, full)
    with pytest.raises(OSError, match=r"No space left on device: '.*/summary\.json'"):
        write_json(path, {"a": 2})
    monkeypatch.undo()
    assert path.read_text() == '{\n "a": 1\n}\n'
    assert [file.name for file in tmp_path.iterdir()] == ["summary.json"]


def test_a_secret_is_its_owner_s_alone_from_its_first_byte_on(tmp_path: Path) -> None:
    write_whole(tmp_path / "secret", b"x", 0o600)
    assert stat.S_IMODE((tmp_path / "secret").stat().st_mode) == 0o600


def test_nothing_is_written_into_a_folder_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "csv").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(Problem, match="csv is a link"):
        own_folder(tmp_path / "csv")
    own_folder(tmp_path / "figures")
    own_folder(tmp_path / "figures")
