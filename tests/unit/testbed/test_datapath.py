"""Whether a kernel can be Open vSwitch's datapath, by made-up folders of modules."""

from pathlib import Path

import pytest

from migrascope.model.network import Tenant
from migrascope.testbed.datapath import kernel_lacks

DEP = "kernel/net/netfilter/nf_conntrack.ko.xz: kernel/lib/libcrc32c.ko.xz\nkernel/drivers/net/geneve.ko.xz:\n"
BUILTIN = "kernel/drivers/net/vxlan/vxlan.ko\n"


@pytest.fixture
def kernel(tmp_path: Path) -> tuple[Path, Path]:
    """A kernel with Open vSwitch loaded, connection tracking and Geneve as modules, VXLAN built in."""
    loaded, modules = tmp_path / "loaded", tmp_path / "modules"
    (loaded / "openvswitch").mkdir(parents=True)
    modules.mkdir()
    (modules / "modules.dep").write_text(DEP)
    (modules / "modules.builtin").write_text(BUILTIN)
    return loaded, modules


@pytest.mark.parametrize("tenant", ["vlan", "vxlan", "geneve"])
def test_a_kernel_that_has_all_of_it_switches(kernel: tuple[Path, Path], tenant: Tenant) -> None:
    assert kernel_lacks(tenant, *kernel) == []


def test_a_module_that_is_not_loaded_is_not_loaded_by_us(kernel: tuple[Path, Path]) -> None:
    (kernel[0] / "openvswitch").rmdir()
    assert kernel_lacks("geneve", *kernel) == ["openvswitch, which is not loaded"]


def test_what_it_lacks_is_named(kernel: tuple[Path, Path]) -> None:
    loaded, modules = kernel
    (modules / "modules.dep").write_text("kernel/net/geneve_other.ko:\n")
    assert kernel_lacks("vlan", *kernel) == ["nf_conntrack"]
    assert kernel_lacks("geneve", *kernel) == ["nf_conntrack", "geneve"]
    (loaded / "nf_conntrack").mkdir()
    assert kernel_lacks("vxlan", *kernel) == []
    (modules / "modules.builtin").unlink()
    assert kernel_lacks("vxlan", *kernel) == ["vxlan"]
