"""What a testbed needs: each thing that is missing is named before anything is changed."""

import os
from pathlib import Path

import pytest

from migrascope.model.problem import Problem
from migrascope.node import cgroup
from migrascope.testbed import needs
from migrascope.testbed.status import Ceph, NodeStatus, Service, Status

UNIFIED = "30 20 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
HYBRID = "30 20 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n40 30 0:30 / /sys/fs/cgroup/unified rw - cgroup2 none rw\n"


def test_without_root_that_is_all_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert needs.missing() == ["root: run it with sudo"]


def test_programs_overlays_memory_and_space_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr("migrascope.testbed.needs.shutil.which", lambda program: None)
    monkeypatch.setattr(needs, "DISK_BYTES", 2**80)
    monkeypatch.setattr(needs, "STATE", tmp_path)
    monkeypatch.setattr(needs, "CACHE", tmp_path)
    meminfo, filesystems = tmp_path / "meminfo", tmp_path / "filesystems"
    meminfo.write_text("MemTotal: 4000000 kB\nMemAvailable: 1000000 kB\n")
    filesystems.write_text("\text4\n")
    words = "\n".join(needs.missing(meminfo, filesystems))
    for each in ("apt-get install systemd-container", "apt-get install mmdebstrap", "memory: 1.02 GB", "space: "):
        assert each in words
    filesystems.write_text("nodev\toverlay\n")
    assert "overlayfs" not in "\n".join(needs.missing(meminfo, filesystems))


def test_memory_that_other_testbeds_will_take_is_not_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    (tmp_path / "meminfo").write_text("MemAvailable: 8000000 kB\n")
    assert "memory: " not in "\n".join(needs.missing(tmp_path / "meminfo", claimed_bytes=10**9))
    words = "\n".join(needs.missing(tmp_path / "meminfo", claimed_bytes=2 * 10**9))
    assert "memory: 8.19 GB available, 2.00 GB of it left to other testbeds, 6.50 GB wanted" in words


def test_space_is_wanted_for_images_too_where_they_lie_on_the_same_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(needs, "STATE", tmp_path / "state")
    monkeypatch.setattr(needs, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(needs, "DISK_BYTES", 1)
    assert "space: " not in "\n".join(needs.missing())
    assert "space: " in "\n".join(needs.missing(images_bytes=2**80))
    monkeypatch.setattr(needs, "CACHE", Path("/proc"))
    assert "space: " not in "\n".join(needs.missing(images_bytes=2**80))


@pytest.mark.parametrize(("mounts", "where"), [(UNIFIED, ""), (HYBRID, "unified")])
def test_the_cgroup_hierarchy_is_found_on_both_kinds_of_machine(tmp_path: Path, mounts: str, where: str) -> None:
    (tmp_path / "mountinfo").write_text(mounts)
    assert cgroup.hierarchy(tmp_path / "mountinfo") == cgroup.ROOT / where


def test_a_machine_without_cgroup2_is_told_how_to_mount_it(tmp_path: Path) -> None:
    (tmp_path / "mountinfo").write_text(HYBRID.splitlines()[0])
    with pytest.raises(Problem, match="mount -t cgroup2"):
        cgroup.hierarchy(tmp_path / "mountinfo")


def test_a_testbed_is_healthy_only_when_all_of_it_is() -> None:
    nodes = [NodeStatus("controller", True, "10.0.1.11", 1)]
    services = [Service("controller", "keystone", "active", "27")]
    ceph = Ceph("HEALTH_OK", 2)
    assert Status(nodes, services, ceph).healthy
    assert not Status(nodes, [], ceph).healthy
    assert not Status(nodes, services, Ceph()).healthy
    assert not Status(nodes, services, ceph, ["compute storage"]).healthy
    assert not Status(nodes, [Service("controller", "keystone", "failed", "27")], ceph).healthy
