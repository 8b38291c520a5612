"""Two real libvirts that know nothing of us, and the command on a machine that reaches both and shares nothing with
them."""

import os
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from lab.doors import by_ssh, ssh_config
from lab.machine import COMMAND
from migrascope.lab.libvirt.image import LIBVIRT_HOST
from migrascope.lab.libvirt.lab import LibvirtLab
from migrascope.lab.qemu.topology import address
from migrascope.model.family import FIRST, Family
from migrascope.model.schedule import HOSTS
from migrascope.node.image import root_image
from migrascope.node.paths import CACHE, STATE
from migrascope.node.process import Where, run
from migrascope.study.labs.images import Images, prepare
from needs import need_lab

_URIS = [f"qemu+tcp://{address(host, 'management')}/system" for host in HOSTS]
ADDRESSES = [address(host, "migration") for host in HOSTS]


@dataclass
class Beside:
    """The machine. path: of its programs, whose first python3 has libvirt's module. uris: of both hosts by the way to
    them, "tcp" or "ssh"; "ssh unverified" also works between the hosts, who know no key of each other's."""

    lab: LibvirtLab
    path: str
    uris: dict[str, list[str]]

    def hosts(self, way: str) -> list[str]:
        """The option that names both."""
        return ["--hosts", ",".join(self.uris[way])]

    def argv(self, *arguments: str) -> list[str]:
        """The command there."""
        return ["nsenter", f"--net={self.lab.client.path}", "--", *COMMAND, *arguments]

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {"PATH": self.path}

    def migrascope(self, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The command, run to its end."""
        return subprocess.run(
            self.argv(*arguments), cwd=folder, env=self.environment, capture_output=True, text=True, timeout=900,
            check=False,
        )  # fmt: skip


@asynccontextmanager
async def hosts_up(programs: Path, families: Sequence[Family] = (FIRST,)) -> AsyncIterator[tuple[Beside, Images]]:
    """Both, for the length of a with block. programs: an empty folder. families: of the guests' network and of the
    machine."""
    need_lab()
    images, root = await prepare(lambda text: None), await root_image(LIBVIRT_HOST)
    up = LibvirtLab.up(root, images.host_root, images.boot, wanted="auto", policies={}, families=families)
    async with up as lab, by_ssh(lab, root) as ssh:
        for host in lab._hosts.values():  # hosts of others show what they have
            await run("umount", host.command(["sh", "-c", "! mountpoint -q /dev/kvm || umount /dev/kvm"]), Where())
        unverified = [f"{uri}&no_verify=1" for uri in ssh]
        uris = {"tcp": _URIS, "ssh": ssh, "ssh unverified": unverified}
        lab.topology.links["management"].attach("client", lab.client, "10.0.1.30/24")
        seen = {path: path for path in (Path("/dev"), STATE, CACHE)} | {ssh_config(lab): "/etc/ssh/ssh_config"}
        shown = " && ".join(f"mount --bind {path} {root}{there}" for path, there in seen.items())
        keep = f"mount --bind {root} {root} && {shown} && mount -o remount,bind,ro {root}"
        python = f'{keep} && exec chroot {root} /usr/bin/python3 "$@"'
        (programs / "python3").write_text(f"#!/bin/sh\nexec unshare --mount sh -c '{python}' sh \"$@\"\n")
        (programs / "python3").chmod(0o755)
        yield Beside(lab, f"{programs}:{os.environ['PATH']}", uris), images
