"""Whether this machine's kernel can be Open vSwitch's datapath for a testbed. It only looks."""

import os
from pathlib import Path

from migrascope.model.network import Tenant

_MODULES = Path("/lib/modules") / os.uname().release
_TUNNELS: dict[Tenant, tuple[str, ...]] = {"vlan": (), "vxlan": ("vxlan",), "geneve": ("geneve",)}


def kernel_lacks(
    tenant: Tenant,
    loaded: Path = Path("/sys/module"),
    modules: Path = _MODULES,
) -> list[str]:
    """What the kernel lacks to switch the frames of tenants' networks that are told apart like this, in words: empty
    where it can. Open vSwitch in user space has all of it.

    Open vSwitch's own module must be loaded, since `up` changes nothing of this machine's kernel. Connection tracking
    and the tunnel the kernel loads by itself at their first use, where it has them.
    """
    if not (loaded / "openvswitch").exists():
        return ["openvswitch, which is not loaded"]
    return [name for name in ("nf_conntrack", *_TUNNELS[tenant]) if not _has(name, loaded, modules)]


def _has(name: str, loaded: Path, modules: Path) -> bool:
    """Whether a module is loaded, part of the kernel, or where the kernel finds it."""
    if (loaded / name).exists():
        return True
    try:
        lists = [(modules / each).read_text(encoding="utf-8") for each in ("modules.dep", "modules.builtin")]
    except OSError:
        return False
    files = (line.partition(":")[0] for text in lists for line in text.splitlines())
    return any(Path(file).name.partition(".")[0] == name for file in files)
