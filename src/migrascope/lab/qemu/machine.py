"""The command line of an instance's QEMU: the same on both hosts but for `incoming`."""

import json
from dataclasses import dataclass
from pathlib import Path

from migrascope.lab.accelerator import CPU_MODEL
from migrascope.lab.boot_image import BootImage
from migrascope.lab.qemu.volume import Stored
from migrascope.model.policy import Policy
from migrascope.model.storage import SHARED, Storage

_DIRTY_RING = 4096
VOLUME_NODE = "volume"
"""How a QEMU calls the block device of the instance's volume."""


@dataclass(frozen=True)
class Program:
    """The QEMU that a lab runs: its path, the root that it lies in (None: this machine's), its accelerator."""

    path: str
    root: Path | None
    accelerator: str


@dataclass(frozen=True)
class InstanceSpec:
    """An instance to be made. managed: its destination waits for a word. tap: the name of its interface in each
    host."""

    name: str
    memory_bytes: int
    vcpus: int
    image: BootImage
    policy: Policy
    storage: Storage = SHARED
    managed: bool = False
    mac: str = "52:54:00:6d:73:01"
    tap: str = "vm-1"


def accelerator_argument(accelerator: str, policy: Policy) -> str:
    """The value of -accel. A dirty limit needs KVM's dirty ring; TCG has none, and says so when it is asked."""
    ring = policy.dirty_limit is not None and accelerator == "kvm"
    return f"kvm,dirty-ring-size={_DIRTY_RING}" if ring else accelerator


def arguments(
    program: Program, spec: InstanceSpec, volume: Stored, folder: Path, host: str, *, incoming: bool
) -> list[str]:
    """argv of the QEMU on `host`. Sockets: folder/HOST.control (ours) and folder/HOST.probe (the QMP probe's)."""
    argv = [
        program.path,
        "-name", spec.name,
        "-nodefaults", "-no-user-config", "-no-reboot",
        "-display", "none",
        "-machine", "q35,hpet=off",  # as libvirt makes it: its readings are dear, and the guest has a better clock
        "-accel", accelerator_argument(program.accelerator, spec.policy),
        "-cpu", CPU_MODEL[program.accelerator],
        "-smp", str(spec.vcpus),
        "-m", f"{spec.memory_bytes}B",
        "-kernel", str(spec.image.kernel),
        "-initrd", str(spec.image.initrd),
        "-append", spec.image.kernel_line,
        "-blockdev", json.dumps({"node-name": VOLUME_NODE} | volume.node(host)),
        "-device", f"virtio-blk-pci,drive={VOLUME_NODE}",
        "-netdev", f"tap,id=network,ifname={spec.tap},script=no,downscript=no,vhost=off",
        "-device", f"virtio-net-pci,netdev=network,mac={spec.mac},romfile=",
        "-object", "rng-random,id=random,filename=/dev/urandom",
        "-device", "virtio-rng-pci,rng=random",
        "-serial", f"file:{folder / host}.serial",
        "-msg", "timestamp=on",
    ]  # fmt: skip
    for purpose in ("control", "probe"):
        argv += ["-chardev", f"socket,id={purpose},path={folder / host}.{purpose},server=on,wait=off"]
        argv += ["-mon", f"chardev={purpose},mode=control"]
    if not incoming:
        return argv
    return [*argv, "-incoming", "defer", *(["-S"] if spec.managed else [])]
