"""Post-copy whose link fails is taken up again where the policy says so, and the guest goes on."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from migrascope.lab.injectors.links import LinkDown
from migrascope.lab.qemu.lab import QemuLab
from migrascope.model.phase import phase_of
from migrascope.model.policy import Policy, PostCopy
from migrascope.model.schedule import Factors
from migrascope.node.wait import wait_until
from migrascope.study.labs.images import prepare
from migrascope.trial.agent_client import AgentClient

pytestmark = pytest.mark.lab
RECOVERED = Policy(post_copy=PostCopy(after_round=0, recover=True))


async def test_an_operator_recovers_post_copy(tmp_path: Path) -> None:
    images = await prepare(lambda text: None)
    factors = Factors("none", "recovered", 2**29, 100e6, 0.3, "warm")
    async with QemuLab.up(
        images.host_root, images.boot, wanted="auto", program=None, policies={"recovered": RECOVERED}
    ) as lab:
        instance = await lab.create("vm-1", factors, "host-a", lab.folder / "recovery")
        try:
            guest = AgentClient(f"http://{instance.address}:8080", lab.client)
            await wait_until(guest.ready, 120, "the guest boots", 0.1)
            before = (await guest.ask("/alive?id=before"))["boot_id"]
            await guest.ask(f"/resident?bytes={100 * 2**20}", post=True, timeout_s=120)
            await instance.prepare("host-b", factors)
            cut = LinkDown(lab.topology.lab_links, "migration", ["host-a"])
            await cut.arm()
            there = asyncio.Event()

            def see(event: str, data: dict[str, Any], at_ns: int) -> None:
                if phase_of(event, data) == "post-copy":
                    there.set()

            instance.listen(see)

            async def fail() -> None:
                await there.wait()
                await wait_until(lambda: runs_on(instance, "host-b"), 10, "the guest runs on the destination")
                await cut.apply()
                await wait_until(lambda: paused(instance), 20, "an operator has paused it")
                await cut.heal()

            failing = asyncio.ensure_future(fail())
            answer = await instance.migrate("host-b", 120, lambda: None)
            await failing
            assert answer["status"] == "completed"
            assert instance.steps[0] == "migrate-pause on both hosts"
            assert instance.steps[-1] == "migrate-recover on host-b, migrate with resume on host-a"
            assert (await instance.place("host-b")).verdict == "pass"
            await wait_until(guest.ready, 60, "the guest answers")
            assert (await guest.ask("/alive?id=after"))["boot_id"] == before
            assert (await guest.ask("/witness"))["whole"]
        finally:
            await instance.destroy()


async def runs_on(instance: Any, host: str) -> bool:
    return bool((await instance.state(host))["running"])


async def paused(instance: Any) -> bool:
    return bool(instance.steps)
