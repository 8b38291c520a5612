"""What a cloud does wrong is recorded in its own words; nothing is asked for twice that may have been done."""

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from fakecloud import PASSWORD, FakeCloud, Fault

from leaks import leaks
from migrascope.cloud.client import Cloud, CloudError, Patience
from migrascope.lab.contract import MigrationFailed, NotConverged
from migrascope.lab.injectors.wires import Wires
from migrascope.lab.openstack import instance as instances
from migrascope.lab.openstack import leftovers
from migrascope.lab.openstack.instance import CloudInstance, access
from migrascope.lab.openstack.lab import OpenstackLab, hypervisors
from migrascope.lab.openstack.parts import Parts
from migrascope.lab.openstack.reach import Reach
from migrascope.lab.openstack.resources import Resources
from migrascope.lab.openstack.wishes import TAG, Wishes
from migrascope.lab.qemu.machine import BootImage
from migrascope.model.plan import Plan
from migrascope.model.policy import Moment, Policy, PostCopy
from migrascope.model.schedule import Factors, schedule
from migrascope.node.namespace import Namespace
from migrascope.node.register import Register
from migrascope.store.runfolder import RunFolder
from migrascope.store.spool import Follower
from migrascope.study.plans import parse, text_of
from migrascope.trial.engine import TrialEngine

OURS, RUN = f"{TAG}-aaaaaaaaaaaa", "ms000001"
SERVER = "/compute/v2.1/servers/[^/]+"


class Clock:
    """A clock that goes on only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    @property
    def patience(self) -> Patience:
        return Patience(60.0, lambda: self.now, self.sleep)


@pytest.fixture
def fake() -> Iterator[FakeCloud]:
    with FakeCloud() as cloud:
        yield cloud


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cloud(fake: FakeCloud, tmp_path: Path, clock: Clock) -> Cloud:
    return Cloud.connect("fake", fake.clouds_yaml(tmp_path), clock.patience)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instances, "_POLL_S", 0.01)
    monkeypatch.setattr(instances, "_DOUBT_S", 0.3)


@pytest.fixture
def boot(tmp_path: Path) -> BootImage:
    for name in ("kernel", "initrd", "disk"):
        (tmp_path / name).write_bytes(name.encode())
    return BootImage(tmp_path / "kernel", tmp_path / "initrd", tmp_path / "disk", "console=ttyS0")


def made(cloud: Cloud, boot: BootImage) -> CloudInstance:
    """A server on host one."""
    resources = Resources(cloud, Wishes(RUN, OURS))
    ground = resources.ground(boot)
    server = resources.make(f"{RUN}-trial-1", ground, resources.flavor(512 * 2**20, 1), "one")
    return CloudInstance(f"{RUN}-trial-1", server, resources, Reach(), {}, access("fake", None))


def migrate(one: CloudInstance, limit_s: float = 5.0) -> dict[str, Any]:
    return asyncio.run(one.migrate("two", limit_s, lambda: None))


# Reads, and what changes something


@pytest.mark.parametrize("status", [0, 429, 500, 502, 503, 504])
def test_a_read_is_repeated_for_a_minute(fake: FakeCloud, cloud: Cloud, clock: Clock, status: int) -> None:
    fake.faults.append(Fault("GET .*/os-hypervisors", status, "busy", times=6))
    assert hypervisors(cloud) == ("one", "two")
    assert clock.slept == [0.5, 1, 2, 4, 8, 8]


def test_after_a_minute_the_read_fails_with_the_words_of_the_api(fake: FakeCloud, cloud: Cloud, clock: Clock) -> None:
    fake.faults.append(Fault("GET .*/os-hypervisors", 500, "Unexpected API Error.", times=None))
    with pytest.raises(CloudError, match=r"cloud fake: Unexpected API Error\.") as error:
        hypervisors(cloud)
    assert error.value.status == 500
    assert 50 < sum(clock.slept) <= 60


@pytest.mark.parametrize("status", [400, 403, 404, 409])
def test_a_refusal_is_not_repeated(fake: FakeCloud, cloud: Cloud, clock: Clock, status: int) -> None:
    fake.faults.append(Fault("GET .*/flavors/detail", status, "no"))
    with pytest.raises(CloudError, match="no"):
        cloud.compute("GET", "/flavors/detail")
    assert (clock.slept, fake.asked("GET .*/flavors/detail")) == ([], 1)


def test_the_api_says_when_to_come_again(fake: FakeCloud, cloud: Cloud, clock: Clock) -> None:
    fake.faults.append(Fault("POST .*/flavors", 429, "slower", {"Retry-After": "17"}))
    cloud.compute("POST", "/flavors", {"flavor": {"name": "f", "ram": 1, "vcpus": 1, "disk": 0}})
    assert (clock.slept, len(fake.nova.flavors)) == ([17.0], 1)
    fake.faults.append(Fault("GET .*/flavors/detail", 503, "slower", {"Retry-After": "61"}))
    with pytest.raises(CloudError, match="slower"):
        cloud.compute("GET", "/flavors/detail")


@pytest.mark.parametrize("status", [0, 500, 502, 503, 504])
def test_what_changes_something_is_asked_once(fake: FakeCloud, cloud: Cloud, clock: Clock, status: int) -> None:
    fake.faults.append(Fault("POST .*/flavors", status, "lost", after=True))
    with pytest.raises(CloudError) as error:
        cloud.compute("POST", "/flavors", {"flavor": {"name": "f", "ram": 1, "vcpus": 1, "disk": 0}})
    assert error.value.undecided
    assert (clock.slept, len(fake.nova.flavors)) == ([], 1)


@pytest.mark.parametrize("after", [True, False])
def test_a_removal_is_repeated(fake: FakeCloud, cloud: Cloud, boot: BootImage, after: bool) -> None:
    one = made(cloud, boot)
    fake.faults += [Fault(f"DELETE {SERVER}", 0, after=after), Fault("DELETE .*/ports/.*", 503, after=after)]
    asyncio.run(one.destroy())
    assert set(fake.kinds()) == {"images", "security_groups", "security_group_rules"}


def test_a_silent_api_has_not_answered(fake: FakeCloud, tmp_path: Path, clock: Clock) -> None:
    cloud = Cloud.connect("fake", fake.clouds_yaml(tmp_path, api_timeout=0.2), clock.patience)
    fake.faults.append(Fault("GET .*/os-hypervisors", 500, silent_s=2.0, times=2))
    assert hypervisors(cloud) == ("one", "two")
    assert clock.slept == [0.5, 1]


def test_a_token_that_expired_is_renewed(fake: FakeCloud, cloud: Cloud, clock: Clock) -> None:
    hypervisors(cloud)
    fake.tokens.clear()
    cloud.compute("POST", "/flavors", {"flavor": {"name": "f", "ram": 1, "vcpus": 1, "disk": 0}})
    assert list(cloud.connection.network.networks())
    assert (clock.slept, len(fake.nova.flavors), fake.asked("POST .*/auth/tokens")) == ([], 1, 2)


def test_a_password_that_is_wrong_is_told_at_once(fake: FakeCloud, tmp_path: Path, clock: Clock) -> None:
    path = fake.clouds_yaml(tmp_path)
    path.write_text(path.read_text().replace(PASSWORD, "another"))
    with pytest.raises(CloudError, match="requires authentication") as error:
        Cloud.connect("fake", path, clock.patience)
    assert (error.value.status, clock.slept, "another" in str(error.value)) == (401, [], False)


# Instances


def test_without_a_second_host_there_is_no_lab(fake: FakeCloud, cloud: Cloud) -> None:
    fake.nova.hosts = ("one",)
    with pytest.raises(CloudError, match="has 1 host"):
        hypervisors(cloud)


def test_without_the_right_to_see_hosts_compute_chooses(fake: FakeCloud, cloud: Cloud, boot: BootImage) -> None:
    fake.roles = ("member",)
    assert hypervisors(cloud) == ("", "")
    with pytest.raises(CloudError, match=r"lets us make none .*flavor-manage.*cloud\.flavor"):
        made(cloud, boot)


def test_an_image_is_uploaded_once(fake: FakeCloud, cloud: Cloud, boot: BootImage) -> None:
    made(cloud, boot)
    assert fake.names("images") == ["migrascope-initrd", "migrascope-kernel", "migrascope-website"]
    assert all(one["tags"] == [TAG, OURS] for one in fake.things["images"].values())


@pytest.mark.parametrize(
    ("quota", "words"),
    [
        ("instances", "Quota exceeded for instances"),
        ("volumes", "volumes"),
        ("port", "port"),
        ("floatingip", "floatingip"),
    ],
)
def test_a_quota_that_is_used_up_is_told_and_nothing_stays(
    fake: FakeCloud, cloud: Cloud, boot: BootImage, quota: str, words: str
) -> None:
    fake.quotas[quota] = len(fake.things["ports"]) if quota == "port" else 0
    with pytest.raises(CloudError, match=words):
        made(cloud, boot)
    left = fake.kinds()
    assert {kind for kind in left if kind not in ("images", "security_groups", "security_group_rules")} == set()


def test_a_server_that_goes_to_error_is_removed_with_its_fault_told(
    fake: FakeCloud, cloud: Cloud, boot: BootImage
) -> None:
    fake.nova.birth = "ERROR"
    with pytest.raises(CloudError, match=r"is in ERROR: No valid host was found\."):
        made(cloud, boot)
    assert fake.nova.servers == fake.things["volumes"] == {}


def test_a_server_whose_birth_was_not_answered_is_removed(fake: FakeCloud, cloud: Cloud, boot: BootImage) -> None:
    fake.faults.append(Fault("POST .*/servers", 504, "Gateway Time-out", after=True))
    with pytest.raises(CloudError, match="Gateway Time-out"):
        made(cloud, boot)
    assert fake.asked("POST .*/servers") == 1
    assert fake.nova.servers == fake.things["volumes"] == {}


def test_a_flavor_that_another_run_makes_at_the_same_time_is_used(fake: FakeCloud, cloud: Cloud) -> None:
    resources = Resources(cloud, Wishes(RUN, OURS))
    fake.faults.append(Fault("POST .*/flavors", 409, "Flavor with name exists.", after=True))
    assert [resources.flavor(512 * 2**20, 1)] == list(fake.nova.flavors)


# Migrations


def test_a_migration_that_completes_says_so(fake: FakeCloud, cloud: Cloud, boot: BootImage) -> None:
    one = made(cloud, boot)
    answer = migrate(one)
    assert (answer["status"], answer["record"]["status"]) == ("completed", "completed")
    assert answer["accepted_ns"] is not None
    assert asyncio.run(one.place("two"))["verdict"] == "pass"


def test_without_records_the_other_host_is_seen(fake: FakeCloud, cloud: Cloud, boot: BootImage) -> None:
    one = made(cloud, boot)
    fake.faults.append(Fault("GET .*/os-migrations", 403, "Policy doesn't allow it.", times=None))
    answer = migrate(one)
    assert (answer["status"], answer["record"]) == ("completed", {})
    assert asyncio.run(one.place(""))["verdict"] == "pass"


@pytest.mark.parametrize(
    ("end", "words"),
    [
        ("refused", "the migration was refused: cloud fake: Compute host two is not compatible"),
        ("error", "Compute says error: the fake rolled back"),
        ("cancelled", "Compute says cancelled"),
    ],
)
def test_a_migration_that_fails_says_why(fake: FakeCloud, cloud: Cloud, boot: BootImage, end: str, words: str) -> None:
    one = made(cloud, boot)
    fake.nova.end = end
    with pytest.raises(MigrationFailed, match=words) as error:
        migrate(one)
    assert not isinstance(error.value, NotConverged)
    assert asyncio.run(one.place("one"))["verdict"] == "pass"


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (403, "Policy doesn't allow os_compute_api:os-migrate-server:migrate_live to be performed."),
        (409, "Cannot 'os-migrateLive' instance while it is in task_state migrating"),
    ],
)
def test_a_migration_that_is_not_allowed_is_asked_for_once(
    fake: FakeCloud, cloud: Cloud, boot: BootImage, status: int, words: str
) -> None:
    one = made(cloud, boot)
    fake.faults.append(Fault(f"POST {SERVER}/action", status, words))
    with pytest.raises(MigrationFailed, match=f"the migration was refused: cloud fake: {words}"):
        migrate(one)
    assert (fake.asked(f"POST {SERVER}/action"), fake.nova.migrations) == (1, [])
    assert asyncio.run(one.place("one"))["verdict"] == "pass"


def test_a_migration_that_is_stuck_is_cancelled(fake: FakeCloud, cloud: Cloud, boot: BootImage) -> None:
    one = made(cloud, boot)
    fake.nova.end = "stuck"
    with pytest.raises(NotConverged, match=r"still running after 0\.2 s; cancelled"):
        migrate(one, limit_s=0.2)
    assert [record["status"] for record in fake.nova.migrations] == ["cancelled"]


def forced(cloud: Cloud, boot: BootImage, policy: Policy) -> CloudInstance:
    """A server that is migrated by a policy."""
    one = made(cloud, boot)
    reach = Reach(policies={"mine": policy})
    mine = CloudInstance(one.name, one.made, Resources(cloud, Wishes(RUN, OURS)), reach, {}, access("fake", None))
    factors = Factors("none", "mine", 2**30, 0.0, 0.5, "warm")
    asyncio.run(mine.prepare("two", factors))
    return mine


@pytest.mark.parametrize("after_s", [0.0, 0.3])
def test_a_policy_with_a_moment_forces_the_end_then(
    fake: FakeCloud, cloud: Cloud, boot: BootImage, after_s: float
) -> None:
    """A migration that never ends by itself; Compute does not take it at first, and then before QEMU has begun."""
    one = forced(cloud, boot, Policy(post_copy=PostCopy.model_validate({"after": f"{after_s}s"})))
    fake.nova.end, fake.nova.vain = "stuck", 2
    fake.faults.append(Fault(f"POST {SERVER}/migrations/1/action", 400, "Migration 1 is preparing."))
    began = time.monotonic()
    assert migrate(one)["record"]["status"] == "completed"
    assert time.monotonic() - began >= after_s


def test_a_policy_whose_end_may_not_be_forced_fails(fake: FakeCloud, cloud: Cloud, boot: BootImage) -> None:
    one = forced(cloud, boot, Policy(pause=Moment(after_round=0)))
    fake.nova.end = "stuck"
    fake.faults.append(Fault(f"POST {SERVER}/migrations/1/action", 403, "Policy doesn't allow it."))
    with pytest.raises(MigrationFailed, match=r"the policy cannot be carried out: cloud fake: Policy doesn't allow it"):
        migrate(one)


def test_a_server_that_goes_to_error_while_it_migrates(fake: FakeCloud, cloud: Cloud, boot: BootImage) -> None:
    one = made(cloud, boot)
    fake.nova.end = "stuck"
    (server,) = fake.nova.servers.values()

    def fails() -> None:
        server.update(status="ERROR", fault={"message": "the disk is gone"})

    with pytest.raises(MigrationFailed, match="is in ERROR: the disk is gone"):
        asyncio.run(one.migrate("two", 5.0, threading.Timer(0.1, fails).start))


@pytest.mark.parametrize("status", [0, 502])
def test_a_request_whose_answer_is_lost_is_not_sent_again(
    fake: FakeCloud, cloud: Cloud, boot: BootImage, status: int
) -> None:
    one = made(cloud, boot)
    fake.faults.append(Fault(f"POST {SERVER}/action", status, after=True))
    answer = migrate(one)
    assert (answer["status"], answer["accepted_ns"], len(fake.nova.migrations)) == ("completed", None, 1)


def test_a_request_that_came_to_nothing_says_so(fake: FakeCloud, cloud: Cloud, boot: BootImage) -> None:
    one = made(cloud, boot)
    fake.faults.append(Fault(f"POST {SERVER}/action", 500, "Unexpected API Error."))
    with pytest.raises(MigrationFailed, match=r"came to nothing: cloud fake: Unexpected API Error\."):
        migrate(one)
    assert fake.nova.migrations == []


def test_an_outage_and_a_new_token_do_not_end_a_migration(
    fake: FakeCloud, cloud: Cloud, boot: BootImage, clock: Clock
) -> None:
    one = made(cloud, boot)
    fake.nova.migration_s = 0.1

    def requested() -> None:
        fake.faults.append(Fault(f"GET {SERVER}", 503, "maintenance", times=5))
        fake.tokens.clear()

    assert asyncio.run(one.migrate("two", 5.0, requested))["status"] == "completed"
    assert sum(clock.slept) > 10


# Trials


def test_what_cannot_be_removed_is_no_fault_of_the_trial(fake: FakeCloud, cloud: Cloud, boot: BootImage) -> None:
    one = made(cloud, boot)
    fake.faults.append(Fault("DELETE .*/volumes/.*", 400, "Volume is part of a snapshot."))
    asyncio.run(one.destroy())
    assert fake.names("volumes") == [f"{RUN}-trial-1"]


def lab(cloud: Cloud, boot: BootImage, folder: Path) -> OpenstackLab:
    register = Register.create(folder / "labs")
    resources = Resources(cloud, Wishes(register.id, OURS))
    return OpenstackLab(
        resources, resources.ground(boot), Reach(), register, hypervisors(cloud), folder / "clouds.yaml", 1,
        {"lab": "openstack", "accelerator": "tcg", "qemu": "10.0.0"}, boot,
    )  # fmt: skip


def test_a_run_begins_by_removing_what_a_killed_one_left_and_ends_with_nothing(
    fake: FakeCloud, cloud: Cloud, boot: BootImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made(cloud, boot)
    alive = Register.create(tmp_path / "labs")
    fake.add("security_groups", name=alive.id, description=Wishes(alive.id, OURS).mark)
    monkeypatch.setattr(Register, "create", classmethod(lambda cls: Register(tmp_path / "labs" / "ms0000ff")))
    (tmp_path / "labs" / "ms0000ff").mkdir()
    monkeypatch.setattr(leftovers.find, "__defaults__", (lambda: {alive.id, "ms0000ff"},))
    monkeypatch.setattr("migrascope.lab.openstack.lab.machine_tag", lambda: OURS)

    async def work() -> None:
        async with OpenstackLab.up(cloud, None, Wishes("", ""), boot, Reach()) as lab:
            assert lab.hosts == ("one", "two")
            assert fake.names("security_groups") == sorted([alive.id, "ms0000ff"])
            assert (fake.nova.servers, fake.names("volumes")) == ({}, [])

    asyncio.run(work())
    assert fake.names("security_groups") == [alive.id]
    assert not (tmp_path / "labs" / "ms0000ff").exists()


PLAN = """
blocks = 3
[lab]
kind = "openstack"
[axes]
scenario = ["none"]
[windows]
boot_limit = "200ms"
"""


def test_a_trial_that_the_cloud_spoils_is_recorded_and_the_next_one_runs(
    fake: FakeCloud, cloud: Cloud, boot: BootImage, tmp_path: Path
) -> None:
    plan: Plan = parse(PLAN, "test")
    fake.faults += [Fault("POST .*/servers", 403, "Quota exceeded for cores"), Fault("POST .*/volumes", 500, "out")]
    engine = TrialEngine(lab(cloud, boot, tmp_path), plan, lambda _: None)
    run = RunFolder.create(tmp_path / "runs", text_of(plan), {"lab": "openstack"})
    before = fake.kinds()
    reasons = []
    for spec in schedule(plan):
        opened = run.open_trial(spec.number)
        recording = run.seal_trial(opened, asyncio.run(engine.run(spec, opened)))
        reasons.append(recording.trial.reason or "")
        assert recording.trial.status == "failed"
        assert fake.kinds() == before
    assert "out" in reasons[0]
    assert "Quota exceeded for cores" in reasons[1]
    assert "the guest boots and its website answers" in reasons[2]
    _no_secret(run.path, fake)


# The probe


@contextmanager
def probe(folder: Path, one: CloudInstance, **more: Any) -> Iterator[subprocess.Popen[bytes]]:
    config = {
        **access("fake", folder / "clouds.yaml"), "server": one.made.server, "port": one.made.port, "interval_s": 0.05,
        "directory": str(folder / "tables"), "source": "nova", "host": "cloud", "instance": "vm-1", "migration": "m-1",
        **more,
    }  # fmt: skip
    (folder / "tables").mkdir()
    argv = [sys.executable, "-m", "migrascope.probe.nova", json.dumps(config)]
    assert PASSWORD not in " ".join(argv)
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        try:
            yield process
        finally:
            process.terminate()
            assert process.wait(10) == 0


def test_the_probe_records_what_the_api_answers_and_where_it_does_not(
    fake: FakeCloud, cloud: Cloud, boot: BootImage, tmp_path: Path
) -> None:
    one = made(cloud, boot)
    fake.faults.append(Fault("GET .*/os-migrations", 403, "Policy doesn't allow it.", times=None))
    rows: list[list[Any]] = []
    follower = Follower(tmp_path / "tables" / "api@nova.jsonl")

    def answers(what: str) -> list[str]:
        rows.extend(follower.rows())
        return [error for _, _, kind, _, error in rows if kind == what]

    with probe(tmp_path, one) as process:
        while len(answers("server")) < 3:
            assert process.poll() is None
        fake.faults += [
            Fault(f"GET {SERVER}", 500, "Unexpected API Error.", times=2),
            Fault(f"GET {SERVER}", 0, times=1),
        ]
        while not any(answers("server")) or answers("server")[-1]:
            assert process.poll() is None
        fake.tokens.clear()
        seen = len(answers("server"))
        while len(answers("server")) < seen + 3:
            assert process.poll() is None
    errors = [error for error in answers("server") if error]
    assert errors[:2] == ["cloud fake: Unexpected API Error."] * 2
    assert len(errors) == 3
    assert answers("record") == ["cloud fake: Policy doesn't allow it."]
    assert len(answers("actions")) == 1
    _no_secret(tmp_path / "tables", fake)


def _no_secret(folder: Path, fake: FakeCloud) -> None:
    """Neither the password of clouds.yaml nor a token of the cloud is in any file."""
    assert leaks(folder, [PASSWORD, *(f"token-{number}" for number in range(1000))]) == []


# Healing


async def _nothing(*given: object) -> Any:
    return ["start nova-compute on one"]


def test_a_lab_is_healed_or_made_anew_and_says_which(
    fake: FakeCloud, cloud: Cloud, boot: BootImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = lab(cloud, boot, tmp_path)
    rebuilt: list[str] = []

    async def rebuild() -> None:
        rebuilt.append("anew")

    parts = Parts(
        Wires(Namespace("x"), {}, {}), {}, "one", lambda node, link: "", _nothing, cast(Any, _nothing), rebuild
    )
    monkeypatch.setattr(here, "_reach", Reach(parts=parts))
    monkeypatch.setattr("migrascope.lab.openstack.lab._WELL_S", 0.1)
    said: list[list[str]] = [[]]
    monkeypatch.setattr("migrascope.lab.openstack.lab.ailing", lambda cloud: said[0])
    healed = asyncio.run(here.heal())
    assert healed == {"lab": "healed", "did": ["start nova-compute on one"], "why": ""}
    assert rebuilt == []
    said[0] = ["nova-compute on two is down"]
    groups = fake.names("security_groups")
    healed = asyncio.run(here.heal())
    assert (healed["lab"], healed["why"], rebuilt) == ("rebuilt", "nova-compute on two is down", ["anew"])
    assert len(fake.names("security_groups")) > len(groups)
