"""A package that is missing or broken behind a valid stamp."""

from pathlib import Path

import pytest

from migrascope.broken import MARK, say


def test_an_environment_of_ours_is_made_anew_by_the_next_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.stamp").touch()
    assert say(ImportError("No module named 'polars'"), tmp_path) == 4
    assert [path.name for path in tmp_path.iterdir()] == [MARK]
    said = capsys.readouterr().err
    assert "No module named 'polars'" in said
    assert "the same command again" in said


def test_another_s_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert say(ImportError("No module named 'polars'"), tmp_path) == 4
    assert list(tmp_path.iterdir()) == []
    assert "install Migrascope anew" in capsys.readouterr().err
