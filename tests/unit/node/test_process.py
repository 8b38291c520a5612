"""Programs that are run to their end, and those that are given up before."""

import asyncio
import sys
from pathlib import Path

import pytest

from migrascope.node.process import ProcessError, Where, run

ENDLESS = [sys.executable, "-c", "import sys\nwhile True: sys.stdout.write('y' * 65536)"]
LOUD = [sys.executable, "-c", "import sys, time; sys.stdout.write('y' * 2**20); sys.stdout.flush(); time.sleep(60)"]


async def test_one_that_is_cancelled_while_its_output_waits_is_gone_at_once() -> None:
    async with asyncio.timeout(20):
        running = asyncio.create_task(run("loud", ENDLESS, Where()))
        await asyncio.sleep(0.2)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


async def test_one_that_takes_too_long_is_said_and_gone() -> None:
    async with asyncio.timeout(20):
        with pytest.raises(ProcessError, match=r"loud took more than 0\.5 s"):
            await run("loud", LOUD, Where(), timeout_s=0.5)


async def test_an_environment_that_may_hold_passwords_is_in_no_argument(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OS_PASSWORD", "p4ssw0rd")
    assert not any("p4ssw0rd" in word for word in Where().command(["true"]))
    assert not any("p4ssw0rd" in word for word in Where(root=Path("/")).command(["true"]))
    script = "import os; print(os.environ['OS_PASSWORD'])"
    assert await run("python", [sys.executable, "-c", script], Where()) == "p4ssw0rd\n"
