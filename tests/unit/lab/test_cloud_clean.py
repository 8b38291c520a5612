"""What killed runs leave in a cloud is found by its marks, and nothing else is."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from commandline import migrascope
from fakecloud import FakeCloud, Fault

from migrascope.cloud.client import Cloud
from migrascope.lab.openstack import leftovers
from migrascope.lab.openstack.leftovers import Leftover
from migrascope.lab.openstack.ownership import InstanceRequest, OwnerTags
from migrascope.lab.openstack.resources import Ground, Resources
from migrascope.node import register
from migrascope.node.machine import TAG, machine_tag

OURS, THEIRS = f"{TAG}-aaaaaaaaaaaa", f"{TAG}-bbbbbbbbbbbb"


@pytest.fixture
def fake() -> Iterator[FakeCloud]:
    with FakeCloud() as cloud:
        yield cloud


@pytest.fixture
def cloud(fake: FakeCloud, tmp_path: Path) -> Cloud:
    return Cloud.connect("fake", fake.clouds_yaml(tmp_path))


def crashed(fake: FakeCloud, cloud: Cloud, run: str, machine: str = OURS) -> None:
    """All that a run makes, and none of it removed."""
    resources = Resources(cloud, InstanceRequest(run, machine))
    group = cloud.connection.network.create_security_group(name=run, description=resources.request.mark)
    flavor = resources.flavor(512 * 2**20, 1)
    ground = Ground("image", 2**20, fake.inner, fake.outer, group.id)
    resources.make(f"{run}-trial-1", ground, flavor, "one")


def kinds(things: list[Leftover]) -> list[str]:
    return [leftover.kind for leftover in things]


def test_everything_of_a_dead_run_is_found_and_removed(fake: FakeCloud, cloud: Cloud) -> None:
    before = fake.kinds()
    crashed(fake, cloud, "ms000001")
    found = leftovers.find(cloud, OURS, set)
    assert kinds(found.left) == ["server", "floating IP", "port", "volume", "security group"]
    assert {leftover.run for leftover in found.left} == {"ms000001"}
    assert kinds(found.kept) == ["flavor"]
    assert leftovers.remove(cloud, found.left) == {}
    assert fake.kinds() == before
    assert leftovers.find(cloud, OURS, set).left == []


def test_what_others_made_is_no_left_over(fake: FakeCloud, cloud: Cloud) -> None:
    for kind in ("ports", "floatingips", "security_groups"):
        fake.add(kind, name="somebody's", description="migrascopes are ours", tags=["migration"])
    fake.add("volumes", name="ms000001-trial-1", metadata={"purpose": "migrascope"}, size=1, status="available")
    fake.nova.add(name="ms000001-trial-1", tags=["other"])
    found = leftovers.find(cloud, OURS, set)
    assert (found.left, found.kept, found.others) == ([], [], [])


def test_a_living_run_and_another_machine_keep_theirs(fake: FakeCloud, cloud: Cloud) -> None:
    crashed(fake, cloud, "ms000001")
    crashed(fake, cloud, "ms000002", THEIRS)
    found = leftovers.find(cloud, OURS, lambda: {"ms000001"})
    assert (found.left, found.kept) == ([], [])
    assert {leftover.run for leftover in found.others} == {"ms000002"}


def test_a_run_that_begins_while_we_list_is_alive(fake: FakeCloud, cloud: Cloud) -> None:
    crashed(fake, cloud, "ms000001")
    asked_by_then: list[int] = []

    def living() -> set[str]:
        asked_by_then.append(fake.asked("GET .*(servers/detail|ports|volumes/detail|security-groups)"))
        return {"ms000001"}

    assert leftovers.find(cloud, OURS, living).left == []
    assert asked_by_then == [4]


def test_what_stays_is_told_with_the_words_of_the_api(fake: FakeCloud, cloud: Cloud) -> None:
    crashed(fake, cloud, "ms000001")
    fake.faults.append(Fault("DELETE .*/volumes/.*", 400, "Volume is part of a snapshot."))
    failed = leftovers.remove(cloud, leftovers.find(cloud, OURS, set).left)
    assert {leftover.kind: reason for leftover, reason in failed.items()} == {
        "volume": "cloud fake: Volume is part of a snapshot."
    }
    assert kinds(leftovers.find(cloud, OURS, set).left) == ["volume"]


@pytest.mark.parametrize("allowed", [True, False])
def test_a_volume_that_a_server_holds_which_is_gone_is_freed(
    fake: FakeCloud, cloud: Cloud, monkeypatch: pytest.MonkeyPatch, allowed: bool
) -> None:
    crashed(fake, cloud, "ms000001")
    leftovers.remove(cloud, leftovers.find(cloud, OURS, set).left[:1])
    found = leftovers.find(cloud, OURS, set).left
    (volume,) = fake.things["volumes"].values()
    volume |= {"status": "in-use", "attachments": [{"server_id": "gone"}]}
    if not allowed:
        fake.faults.append(Fault("POST .*/volumes/.*/action", 403, "Policy doesn't allow it."))
    monkeypatch.setattr(leftovers, "_JUST_S", 0.0)
    monkeypatch.setattr(leftovers, "_GONE_S", 0.1)
    failed = leftovers.remove(cloud, found)
    assert [leftover.kind for leftover in failed] == ([] if allowed else ["volume"])


def test_more_servers_than_a_page_holds_are_found(fake: FakeCloud, cloud: Cloud) -> None:
    for number in range(1203):
        fake.nova.add(name=f"ms000001-{number}", tags=[TAG, OURS, "ms000001"])
    assert len(leftovers.find(cloud, OURS, set).left) == 1203


def test_a_killed_process_leaves_what_is_found(fake: FakeCloud, cloud: Cloud, tmp_path: Path) -> None:
    script = f"""
import signal, os
from pathlib import Path
from migrascope.cloud.client import Cloud
from migrascope.lab.openstack.resources import Ground, Resources
from migrascope.lab.openstack.ownership import InstanceRequest
from migrascope.node.register import Register
register = Register.create(Path({str(tmp_path / "labs")!r}))
print(register.id, flush=True)
cloud = Cloud.connect("fake", Path({str(tmp_path / "clouds.yaml")!r}))
resources = Resources(cloud, InstanceRequest(register.id, {OURS!r}))
ground = Ground("image", 1, {fake.inner!r}, {fake.outer!r}, "group")
resources.make(register.id + "-1", ground, "flavor", "one")
input()
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stdin=subprocess.PIPE) as process:
        assert process.stdout is not None
        run = process.stdout.readline().decode().strip()
        while not fake.things["floatingips"]:
            assert process.poll() is None

        def living() -> set[str]:
            return {item.id for item in register.registers(tmp_path / "labs") if item.owned()}

        assert leftovers.find(cloud, OURS, living).left == []
        os.kill(process.pid, signal.SIGKILL)
        process.wait(10)
    found = leftovers.find(cloud, OURS, living)
    assert {leftover.run for leftover in found.left} == {run}
    assert kinds(found.left) == ["server", "floating IP", "port", "volume"]


def test_the_command_lists_removes_and_tells_in_json(
    fake: FakeCloud, cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    monkeypatch.setattr(leftovers.find, "__defaults__", (set,))
    monkeypatch.setattr("migrascope.node.machine.machine_tag", lambda: OURS)
    crashed(fake, cloud, "ms000001")
    crashed(fake, cloud, "ms000002", THEIRS)
    listed = migrascope("clean", "--cloud", "fake", "--list", folder=tmp_path)
    assert listed.code == 0
    assert "found server ms000001-trial-1  of run ms000001" in listed.stdout
    assert "kept (--images): flavor migrascope-512-1" in listed.stdout
    assert "kept (--all-machines): server ms000002-trial-1" in listed.stdout
    assert len(fake.nova.servers) == 2
    told = json.loads(migrascope("clean", "--cloud", "fake", "--json", folder=tmp_path).stdout)
    assert (told["schema"], told["failed"], len(told["removed"])) == (1, [], 5)
    assert fake.names("servers") == ["ms000002-trial-1"]
    assert len(fake.nova.flavors) == 1
    both = migrascope("clean", "--cloud", "fake", "--images", "--all-machines", folder=tmp_path)
    assert (both.code, dict(fake.kinds()), fake.nova.flavors) == (0, {}, {})


def test_one_cloud_has_to_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    both = migrascope("clean", "--cloud", "fake", "--testbed", "dev", folder=tmp_path)
    assert (both.code, "name one of them" in both.stderr) == (2, True)
    none = migrascope("clean", "--testbed", f"none{os.getpid()}", folder=tmp_path)
    assert (none.code, "testbed up" in none.stderr) == (2, True)


def test_marks_are_read_from_tags_in_any_order() -> None:
    assert OwnerTags.of([]) is None
    assert OwnerTags.of(["ms123456", OURS]) is None
    assert OwnerTags.of(["ms123456", OURS, TAG, "blue"]) == OwnerTags("ms123456", OURS)
    assert OwnerTags.of(InstanceRequest("ms123456", OURS).mark.split()) == OwnerTags("ms123456", OURS)
    assert OwnerTags.of([TAG]) == OwnerTags("", "")


def test_a_machine_keeps_its_tag_and_shares_it_with_none(tmp_path: Path) -> None:
    first = machine_tag(tmp_path / "one" / "machine")
    assert first == machine_tag(tmp_path / "one" / "machine")
    assert first != machine_tag(tmp_path / "two" / "machine")
    assert first.startswith(f"{TAG}-")
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["machine"]
