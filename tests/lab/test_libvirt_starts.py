"""A host of the libvirt lab whose QEMUs emulate: its libvirt starts as fast each time, whatever this machine has."""

import asyncio
from pathlib import Path

import pytest

from migrascope.lab.libvirt.host import Host
from migrascope.lab.libvirt.image import LIBVIRT_HOST
from migrascope.lab.qemu.topology import Topology
from migrascope.model.schedule import HOSTS
from migrascope.node.image import root_image
from migrascope.node.register import Register
from migrascope.node.takedown import Cleaned, remove
from needs import need_lab

pytestmark = pytest.mark.lab


def asked(folder: Path) -> dict[str, int]:
    """When libvirt last asked each QEMU what it can do."""
    return {path.name: path.stat().st_mtime_ns for path in (folder / "cache/qemu/capabilities").iterdir()}


async def test_libvirt_finds_no_kvm_and_asks_its_qemus_once() -> None:
    need_lab()
    root, register = await root_image(LIBVIRT_HOST), Register.create()
    try:
        topology = Topology(register)
        topology.create()
        folder = register.folder / HOSTS[0]
        host = Host(HOSTS[0], topology.nodes[HOSTS[0]], root, folder, kvm=False)
        try:
            await host.up()
            capabilities = await host.connection.call("getCapabilities")
            assert "<domain type='qemu'" in capabilities
            assert "<domain type='kvm'" not in capabilities
            before = asked(folder)
            assert before
            for _ in range(2):
                await host.kill()
                await host.start()
            assert asked(folder) == before
        finally:
            await asyncio.shield(host.down())
    finally:
        remove(register, Cleaned())
