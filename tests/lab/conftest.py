"""The guest that tests of one module share: it has booted, nothing visits it, and it never migrates."""

from collections.abc import AsyncIterator

import pytest_asyncio

from lab.booted import Booted
from migrascope.lab.qemu.lab import QemuLab
from migrascope.model.schedule import Factors
from migrascope.node.wait import wait_until
from migrascope.study.labs.images import prepare
from migrascope.trial.agent_client import AgentClient


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def booted() -> AsyncIterator[Booted]:
    """Its tests run in the module's loop: they have the mark asyncio(loop_scope="module")."""
    images = await prepare(lambda text: None)
    factors = Factors("none", "pre-copy", 2**30, 0.0, 0.3, "warm")
    async with QemuLab.up(images.host_root, images.boot, wanted="auto", program=None) as lab:
        instance = await lab.create("vm-1", factors, "host-a", lab.folder / "booted")
        try:
            call = AgentClient(f"http://{instance.address}:8080", lab.client)
            await wait_until(call.ready, 120, "the guest boots", 0.05)
            yield Booted(lab, instance, call)
        finally:
            await instance.destroy()
