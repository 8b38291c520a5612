"""Clean removes what a dead owner left, nothing that is not its own, and says what it leaves."""

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from deadlabs import clean_one, netns_in, owner, planted

from migrascope.node import memory
from migrascope.node.namespace import Namespace
from migrascope.node.register import Register, start_time
from migrascope.node.takedown import Cleaned, clean, remove, take_down
from migrascope.store import removal


def test_a_namespace_that_is_not_its_own_is_neither_emptied_nor_deleted_and_that_is_said(
    tmp_path: Path, hurt: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    netns = netns_in(tmp_path, monkeypatch)
    names = ["../../proc/self/ns/net", "..", "", "user", "ms00000b-host-a", "ms00000a-", "ms00000a-../user", "ms00000a"]
    for name in ("user", "ms00000b-host-a", "ms00000a-host-a"):
        (netns / name).write_text("")
    register = planted(
        tmp_path / "labs", *({"kind": "namespace", "name": name} for name in [*names, "ms00000a-host-a"])
    )
    assert [space.name for space in register.namespaces()] == ["ms00000a-host-a"]
    cleaned = clean(tmp_path / "labs", tmp_path / "none")
    assert hurt == ["ms00000a-host-a"]
    assert cleaned.namespaces == ["ms00000a-host-a"]
    assert any("/user' is not of ms00000a" in words for words in cleaned.left)
    assert any("ms00000b-host-a' is not of ms00000a" in words for words in cleaned.left)
    assert cleaned.labs == ["ms00000a"]


def test_a_cgroup_that_is_not_its_own_is_not_removed_and_that_is_said(
    tmp_path: Path, hurt: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = tmp_path / "cgroup"
    monkeypatch.setattr(memory, "places", lambda: [ours])
    (ours / "user.slice").mkdir(parents=True)
    (ours / "user.slice" / "ms00000a-memory").mkdir()
    (ours / "ms00000a-memory").mkdir()
    paths = [
        ours,
        ours / "user.slice",
        ours / "user.slice/ms00000a-memory",
        ours / "ms00000a-x/../user.slice",
        Path("/"),
    ]
    register = planted(tmp_path / "labs", *({"kind": "cgroup", "path": str(path)} for path in paths))
    assert register.cgroups() == []
    register.cgroup(ours / "ms00000a-memory")
    cleaned = Cleaned()
    take_down(register, cleaned)
    assert hurt == [ours / "ms00000a-memory"]
    assert {words.split("'")[1] for words in cleaned.left} >= {str(ours), str(paths[1]), str(paths[2])}


def test_a_name_of_its_own_that_leads_to_this_machines_network_gets_nobody_killed(
    tmp_path: Path, hurt: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    netns_in(tmp_path, monkeypatch, "ms00000a-host-a")
    monkeypatch.setattr(Namespace, "inode", lambda space: Path("/proc/self/ns/net").stat().st_ino)
    cleaned = Cleaned()
    take_down(planted(tmp_path / "labs", owner(2**22, 0), {"kind": "namespace", "name": "ms00000a-host-a"}), cleaned)
    assert hurt == ["ms00000a-host-a"]
    assert cleaned.processes == []


def test_what_of_a_lab_cannot_be_removed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register = planted(tmp_path)
    (register.folder / "disk").mkdir()
    monkeypatch.setattr(removal, "_need_no_mount", refuse_mounted)
    cleaned = Cleaned()
    remove(register, cleaned)
    assert (cleaned.labs, cleaned.left) == ([], [f"{register.folder} is not removed: mounted"])
    assert (register.folder / "disk").exists()


def refuse_mounted(path: Path, *_: object) -> None:
    raise removal.NotRemoved(f"{path} is not removed: mounted")


def test_one_lab_that_cannot_be_cleaned_does_not_stop_the_rest(
    tmp_path: Path, hurt: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    netns_in(tmp_path, monkeypatch, "ms00000a-host-a", "ms00000b-host-a")
    for lab in ("ms00000a", "ms00000b"):
        folder = tmp_path / "labs" / lab
        folder.mkdir(parents=True)
        (folder / "register.ndjson").write_text(json.dumps({"kind": "namespace", "name": f"{lab}-host-a"}) + "\n")
        os.utime(folder, (0, 0))

    def delete(space: Namespace) -> None:
        if space.name.startswith("ms00000a"):
            raise OSError(16, "Device or resource busy")
        hurt.append(space.name)

    monkeypatch.setattr(Namespace, "delete", delete)
    cleaned = clean(tmp_path / "labs", tmp_path / "none")
    assert (cleaned.labs, hurt) == (["ms00000b"], ["ms00000b-host-a"])
    assert "ms00000a-host-a: [Errno 16]" in cleaned.left[0]
    assert (tmp_path / "labs" / "ms00000a").exists(), "its register finds again what stays"


def test_a_link_with_a_namespaces_name_is_left_and_said(
    tmp_path: Path, hurt: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To unmount what it leads to would take another's namespace away."""
    (netns_in(tmp_path, monkeypatch, "user") / "ms00000a-host-a").symlink_to("user")
    register = planted(tmp_path / "labs", {"kind": "namespace", "name": "ms00000a-host-a"})
    cleaned = Cleaned()
    remove(register, cleaned)
    assert (cleaned.labs, hurt) == ([], [])
    assert "is a link, and no namespace" in cleaned.left[0]


def test_what_a_lost_line_named_is_said_and_not_guessed(
    tmp_path: Path, hurt: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    netns_in(tmp_path, monkeypatch, "ms00000a-host-b", "ms00000a-..", "ms00000aa-x", "ms00000a")
    (tmp_path / "cgroup" / "ms00000a-memory").mkdir(parents=True)
    cleaned = clean_one(planted(tmp_path / "labs"))
    assert hurt == []
    assert cleaned.labs == []
    assert [words.split()[0].rpartition("/")[2] for words in cleaned.left] == ["ms00000a-memory", "ms00000a-host-b"]
    assert "ip netns delete ms00000a-host-b" in cleaned.left[1]


def test_a_testbed_whose_name_begins_like_anothers_has_nothing_of_it(
    tmp_path: Path, hurt: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    netns_in(tmp_path, monkeypatch, "ms-one-controller", "ms-one-two-controller")
    register, two = (Register.lasting(f"ms-{name}", tmp_path / "testbeds") for name in ("one", "one-two"))
    two.namespace("controller")
    register.namespace("controller")
    file = register.folder / "register.ndjson"
    file.write_text(file.read_text() + json.dumps({"kind": "namespace", "name": "ms-one-two-controller"}) + "\n")
    cleaned = Cleaned()
    take_down(register, cleaned)
    assert hurt == ["ms-one-controller"]
    assert "ms-one-two-controller' is not of ms-one" in cleaned.left[0]


@pytest.fixture
def inhabited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A namespace of ms00000a in which, as far as anybody can see, this test's own child runs: it is this machine's."""
    netns = netns_in(tmp_path, monkeypatch)
    monkeypatch.setattr("migrascope.node.takedown._machines_own", lambda: iter(()))
    monkeypatch.setattr(Namespace, "inode", lambda space: Path("/proc/self/ns/net").stat().st_ino)
    (netns / "ms00000a-host-a").write_text("")
    return tmp_path / "labs"


def test_a_process_is_ended_only_if_it_started_after_the_owner(
    inhabited: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody's processes are in this test's namespace; only those two are looked at."""
    deleted: list[str] = []
    monkeypatch.setattr(Namespace, "delete", lambda space: deleted.append(space.name))
    with subprocess.Popen(["sleep", "60"]) as child:
        monkeypatch.setattr("migrascope.node.takedown._pids", lambda: [child.pid])
        start = start_time(child.pid)
        assert start is not None
        space = {"kind": "namespace", "name": "ms00000a-host-a"}
        for since in ([owner(2**22, start + 1)], []):
            cleaned = clean_one(planted(inhabited, *since, space))
            assert child.poll() is None
            assert (cleaned.labs, cleaned.processes, deleted) == ([], [], [])
            assert f"{child.pid} sleep: in namespaces of ms00000a, but " in cleaned.left[0]
        cleaned = clean_one(planted(inhabited, owner(2**22, start), space))
        assert child.wait(10) == -signal.SIGKILL
        assert cleaned.processes == [f"{child.pid} sleep"]
        assert (cleaned.labs, deleted, cleaned.left) == (["ms00000a"], ["ms00000a-host-a"], [])


def test_a_number_that_comes_to_another_process_gets_nobody_killed(
    inhabited: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process that was seen has ended and this test has its number: the signal goes to the one that was seen."""
    with subprocess.Popen(["sleep", "60"]) as seen, subprocess.Popen(["sleep", "60"]) as other:
        handle = os.pidfd_open(seen.pid)
        seen.kill()
        seen.wait()
        monkeypatch.setattr(os, "pidfd_open", lambda pid: os.dup(handle))
        monkeypatch.setattr("migrascope.node.takedown._pids", lambda: [other.pid])
        cleaned = clean_one(planted(inhabited, owner(2**22, 1), {"kind": "namespace", "name": "ms00000a-nowhere"}))
        assert cleaned.processes == []
        assert other.poll() is None
        os.close(handle)
        other.kill()
