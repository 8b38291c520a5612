"""The ways to the libvirt lab's hosts by which somebody else's are reached: OpenSSH, and TLS, with keys of the test's
own, made anew."""

import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

from migrascope.lab.libvirt.host import Host
from migrascope.lab.libvirt.lab import LibvirtLab
from migrascope.lab.qemu import tls
from migrascope.lab.qemu.topology import address
from migrascope.model.schedule import HOSTS
from migrascope.node.process import Process, Where, run, running
from migrascope.node.wait import wait_until

_SSHD = """\
ListenAddress {address}
HostKey {folder}/{host}
AuthorizedKeysFile {folder}/client.pub
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
PidFile none
"""
_LISTENS = """
listen_tls = 1
key_file = "{folder}/server-key.pem"
cert_file = "{folder}/server-cert.pem"
ca_file = "{folder}/ca-cert.pem"
"""
_PKI = {"ca-cert": "cacert", "client-cert": "clientcert", "client-key": "clientkey"}
"""Files of the lab's certificates, and their names where libvirt's client looks for them."""


def ssh_config(lab: LibvirtLab) -> Path:
    """Where `by_ssh` writes what the client's ssh is told: which hosts it knows."""
    return lab.folder / "ssh/config"


@contextlib.asynccontextmanager
async def by_ssh(lab: LibvirtLab, root: Path) -> AsyncIterator[list[str]]:
    """An sshd on each host, at its address of the management link, for the length of a with block; both URIs. root:
    where ssh-keygen is."""
    folder = lab.folder / "ssh"
    folder.mkdir(mode=0o700)
    for name in ("client", *HOSTS):
        make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)]
        await run("ssh-keygen", make, Where(None, root))
    known = [f"{address(host, 'management')} {(folder / f'{host}.pub').read_text()}" for host in HOSTS]
    (folder / "known_hosts").write_text("".join(known))
    ssh_config(lab).write_text(f"UserKnownHostsFile {folder}/known_hosts\n")
    async with contextlib.AsyncExitStack() as stack:
        for name, host in lab._hosts.items():
            await stack.enter_async_context(_sshd(name, host, folder))
        yield [
            f"qemu+ssh://root@{address(host, 'management')}/system?keyfile={folder}/client&no_tty=1" for host in HOSTS
        ]


@contextlib.asynccontextmanager
async def _sshd(name: str, host: Host, folder: Path) -> AsyncIterator[Process]:
    settings, log = folder / f"{name}.conf", folder / f"{name}.log"
    settings.write_text(_SSHD.format(address=address(name, "management"), folder=folder, host=name))
    argv = ["/usr/sbin/sshd", "-D", "-e", "-f", str(settings)]
    async with running(f"sshd on {name}", argv, host._where, log) as sshd:

        async def listens() -> bool:
            assert not sshd.ended, sshd.problem()
            return "Server listening on" in log.read_text()

        await wait_until(listens, 30, f"the sshd of {name} listens", 0.02)
        yield sshd


async def by_tls(lab: LibvirtLab) -> list[str]:
    """Has both libvirts listen on TLS, too, from their next start on, and ask who comes for a certificate of the test's
    own authority; both URIs."""
    await tls.make(lab.folder, [address(host, "management") for host in HOSTS])
    made, pki = lab.folder / tls.FOLDER, lab.folder / "pki"
    pki.mkdir(mode=0o700)
    for ours, theirs in _PKI.items():
        shutil.copy2(made / f"{ours}.pem", pki / f"{theirs}.pem")
    for name in HOSTS:
        settings = lab.folder / name / "etc/libvirtd.conf"
        text = settings.read_text()
        assert "listen_tls = 0\n" in text
        settings.write_text(text.replace("listen_tls = 0\n", "") + _LISTENS.format(folder=made))
    return [f"qemu+tls://{address(host, 'management')}/system?pkipath={pki}" for host in HOSTS]
