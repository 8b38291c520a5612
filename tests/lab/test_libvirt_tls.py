"""A host's libvirt asked over TLS, as a plan's `cloud.hosts` names it: it is watched, and its clock is read."""

import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from recorded import Running, program, rows, until

from migrascope.metrics.hostclock import HostClock, Reading
from migrascope.model.clock import clock_pair
from migrascope.node.container import Container
from migrascope.node.image import root_image
from migrascope.node.process import ProcessError
from migrascope.node.register import Register
from migrascope.node.takedown import Cleaned, remove
from migrascope.probe import libvirt
from migrascope.testbed.packages import NODE
from needs import need_lab

pytestmark = [pytest.mark.lab, pytest.mark.asyncio(loop_scope="module")]
URI = "qemu+tls://localhost/system"
DOMAIN = "6ffb2c5a-2b5d-4d9e-9f0b-0d5b0a1f7c11"
XML = f"""<domain type="qemu"><name>one</name><uuid>{DOMAIN}</uuid><memory unit="MiB">64</memory>
<os><type arch="x86_64" machine="q35">hvm</type></os></domain>"""
QEMU = 'user = "root"\ngroup = "root"\nsecurity_driver = "none"\ncgroup_controllers = []\nnamespaces = []\n'
CLOCK_NS = 2000
"""QEMU stamps in whole us, and so much may pass between the two clocks of a pair."""


def certificates(folder: Path) -> dict[str, str]:
    """A CA of its own, and what it signed for localhost and for its client, by libvirt's paths."""
    names = {"ca": "cacert", "server": "localhost", "client": "client"}
    signed = ("-CA", f"{folder}/ca.pem", "-CAkey", f"{folder}/ca.key", "-addext", "basicConstraints=critical,CA:FALSE")
    more = {"ca": (), "server": (*signed, "-addext", "subjectAltName=DNS:localhost"), "client": signed}
    for name, common in names.items():
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={common}",
             "-keyout", f"{folder}/{name}.key", "-out", f"{folder}/{name}.pem", *more[name]],
            check=True, capture_output=True,
        )  # fmt: skip
    pem, key = ({name: (folder / f"{name}.{kind}").read_text() for name in names} for kind in ("pem", "key"))
    return {
        "/etc/pki/CA/cacert.pem": pem["ca"],
        "/etc/pki/libvirt/servercert.pem": pem["server"],
        "/etc/pki/libvirt/private/serverkey.pem": key["server"],
        "/etc/pki/libvirt/clientcert.pem": pem["client"],
        "/etc/pki/libvirt/private/clientkey.pem": key["client"],
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Container]:
    """A host whose libvirt listens on TLS in a network of its own, with a domain that runs."""
    need_lab()
    folder = tmp_path_factory.mktemp("tls")
    register = Register.lasting(f"ms-tls{os.getpid()}", folder)
    register.claim()
    space = register.namespace("one")
    space.create()
    made = Container("one", f"{register.id}-one", space, await root_image(NODE), register.folder / "one")
    if (path := made.cgroup()) is not None:
        register.cgroup(path)
    laid = {
        "/etc/machine-id": "0123456789abcdef0123456789abcdef\n", "/etc/hostname": "one\n",
        "/etc/hosts": "127.0.0.1 localhost\n", "/etc/libvirt/qemu.conf": QEMU, "/one.xml": XML,
        **certificates(folder),
    }  # fmt: skip
    for where, text in laid.items():
        made.lay(where, text)
    try:
        await made.boot()
        await made.run(["systemctl", "start", "virtlogd.socket", "libvirtd.socket", "libvirtd-tls.socket"])
        await made.run(["virsh", "-c", URI, "create", "/one.xml"])
        yield made
    finally:
        await made.stop()
        remove(register, Cleaned())


async def test_a_host_is_watched_and_its_clock_is_read(host: Container, tmp_path: Path) -> None:
    near = {"uri": URI, "python": host.command(["python3"])}
    pairs = [clock_pair()]
    running = program(tmp_path, hosts={"one": near}, domain=DOMAIN, interval_s=0.1)
    async with Running(libvirt.main, running):
        await until(lambda: len(rows(tmp_path, "host_clock", "libvirt-one")) >= 3, 60)
        await host.run(["virsh", "suspend", DOMAIN])
        await until(lambda: rows(tmp_path, "qmp_event", "libvirt-one"), 30)
    pairs.append(clock_pair())
    offsets = [wall - mono for mono, wall in pairs]
    readings = tuple(Reading(*row.values()) for row in rows(tmp_path, "host_clock", "libvirt-one"))
    for reading in readings:  # the truth: that host has this machine's clock
        assert (
            reading.asked_ns + min(offsets) - CLOCK_NS
            <= reading.wall_ns
            <= reading.answered_ns + max(offsets) + CLOCK_NS
        )
    (stop,) = rows(tmp_path, "qmp_event", "libvirt-one")
    assert stop["event"] == "STOP"
    mono, bound = HostClock(readings).to_mono(stop["event_wall_ns"])
    assert abs(stop["event_wall_ns"] - offsets[0] - mono) <= bound
    assert stop["recv_ns"] >= mono - bound
    jobs = await host.run(["virsh", "qemu-monitor-command", DOMAIN, '{"execute": "query-jobs"}'])
    assert '"return":[]' in jobs
    assert {row["command"] for row in rows(tmp_path, "qmp_status", "libvirt-one")} == {"query-status", "query-migrate"}


@pytest_asyncio.fixture(loop_scope="module")
async def without_certificate(host: Container) -> AsyncIterator[Container]:
    """The host, while its client has no certificate and no key."""
    theirs = ["/etc/pki/libvirt/clientcert.pem", "/etc/pki/libvirt/private/clientkey.pem"]
    await host.run(["mv", *theirs, "/root"])
    yield host
    for path in map(Path, theirs):
        await host.run(["mv", f"/root/{path.name}", str(path)])


async def test_a_host_that_trusts_nobody_is_told(without_certificate: Container, tmp_path: Path) -> None:
    host = without_certificate
    near = {"uri": URI, "python": host.command(["python3"])}
    with pytest.raises(ProcessError):
        await host.run(["virsh", "-c", URI, "list"])
    with pytest.raises(libvirt.HostFailed, match=r"libvirt on one \(qemu\+tls://localhost/system\) cannot be watched"):
        await libvirt.main(program(tmp_path, hosts={"one": near}, domain=DOMAIN, interval_s=0.1))
