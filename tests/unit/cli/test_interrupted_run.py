"""What a run that is interrupted says."""

import asyncio
import os
import signal
from pathlib import Path

import pytest
from faketrial import small_plan

from migrascope.cli import run as run_command
from migrascope.cli.console import EXIT_INTERRUPTED
from migrascope.store.runfolder import RunFolder
from migrascope.study.runs.run import execute


def test_it_says_what_is_kept_and_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def interrupted(*given: object) -> None:
        done = await execute(*given)  # type: ignore[arg-type]
        (last, *_) = sorted((done.path / "trials").iterdir(), reverse=True)
        last.rename(last.with_suffix(".open"))
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(60)

    monkeypatch.setattr(run_command, "execute", interrupted)
    assert (
        run_command.run(small_plan(tmp_path, "none", "relay"), runs=tmp_path / "runs", lab="fake") == EXIT_INTERRUPTED
    )
    (run,) = (tmp_path / "runs").glob("2*")
    assert len(RunFolder(run).finished()) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert f"interrupted; 1 of 2 trials done and kept; to go on: migrascope run --resume {run}" in said
