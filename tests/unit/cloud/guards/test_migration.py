"""Migrations in a cloud that fail, hang, or are not answered: told in its words, never asked for twice."""

import asyncio
import threading
import time

import pytest
from cloudlab import OURS, RUN, SERVER, Clock, made, migrate
from fakecloud import FakeCloud, Fault

from migrascope.cloud.client import Cloud
from migrascope.lab.boot_image import BootImage
from migrascope.lab.contract import MigrationFailed, NotConverged
from migrascope.lab.openstack.access import CloudAccess
from migrascope.lab.openstack.instance import CloudInstance, login
from migrascope.lab.openstack.ownership import InstanceRequest
from migrascope.lab.openstack.resources import Resources
from migrascope.model.policy import Moment, Policy, PostCopy
from migrascope.model.schedule import Factors


def test_a_migration_that_completes_says_so(fake: FakeCloud, cloud: Cloud, boot: BootImage) -> None:
    instance = made(cloud, boot)
    answer = migrate(instance)
    assert (answer["status"], answer["record"]["status"]) == ("completed", "completed")
    assert answer["accepted_ns"] is not None
    assert asyncio.run(instance.place("two")).verdict == "pass"


def test_without_records_the_other_host_is_seen(fake: FakeCloud, cloud: Cloud, boot: BootImage) -> None:
    instance = made(cloud, boot)
    fake.faults.append(Fault("GET .*/os-migrations", 403, "Policy doesn't allow it.", times=None))
    answer = migrate(instance)
    assert (answer["status"], answer["record"]) == ("completed", {})
    assert asyncio.run(instance.place("")).verdict == "pass"


@pytest.mark.parametrize(
    ("end", "words"),
    [
        ("refused", "the migration was refused: cloud fake: Compute host two is not compatible"),
        ("error", "Compute says error: the fake rolled back"),
        ("cancelled", "Compute says cancelled"),
    ],
)
def test_a_migration_that_fails_says_why(fake: FakeCloud, cloud: Cloud, boot: BootImage, end: str, words: str) -> None:
    instance = made(cloud, boot)
    fake.nova.end = end
    with pytest.raises(MigrationFailed, match=words) as error:
        migrate(instance)
    assert not isinstance(error.value, NotConverged)
    assert asyncio.run(instance.place("one")).verdict == "pass"


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
    instance = made(cloud, boot)
    fake.faults.append(Fault(f"POST {SERVER}/action", status, words))
    with pytest.raises(MigrationFailed, match=f"the migration was refused: cloud fake: {words}"):
        migrate(instance)
    assert (fake.asked(f"POST {SERVER}/action"), fake.nova.migrations) == (1, [])
    assert asyncio.run(instance.place("one")).verdict == "pass"


def test_a_migration_that_is_stuck_is_cancelled(fake: FakeCloud, cloud: Cloud, boot: BootImage) -> None:
    instance = made(cloud, boot)
    fake.nova.end = "stuck"
    with pytest.raises(NotConverged, match=r"still running after 0\.2 s; cancelled"):
        migrate(instance, limit_s=0.2)
    assert [record["status"] for record in fake.nova.migrations] == ["cancelled"]


def forced(cloud: Cloud, boot: BootImage, policy: Policy) -> CloudInstance:
    """A server that is migrated by a policy."""
    instance = made(cloud, boot)
    reach = CloudAccess(policies={"mine": policy})
    mine = CloudInstance(
        instance.name, instance.made, Resources(cloud, InstanceRequest(RUN, OURS)), reach, {}, login("fake", None)
    )
    factors = Factors("none", "mine", 2**30, 0.0, 0.5, "warm")
    asyncio.run(mine.prepare("two", factors))
    return mine


@pytest.mark.parametrize("after_s", [0.0, 0.3])
def test_a_policy_with_a_moment_forces_the_end_then(
    fake: FakeCloud, cloud: Cloud, boot: BootImage, after_s: float
) -> None:
    """A migration that never ends by itself; Compute does not take it at first, and then before QEMU has begun."""
    instance = forced(cloud, boot, Policy(post_copy=PostCopy.model_validate({"after": f"{after_s}s"})))
    fake.nova.end, fake.nova.vain = "stuck", 2
    fake.faults.append(Fault(f"POST {SERVER}/migrations/1/action", 400, "Migration 1 is preparing."))
    began = time.monotonic()
    assert migrate(instance)["record"]["status"] == "completed"
    assert time.monotonic() - began >= after_s


def test_a_policy_whose_end_may_not_be_forced_fails(fake: FakeCloud, cloud: Cloud, boot: BootImage) -> None:
    instance = forced(cloud, boot, Policy(pause=Moment(after_round=0)))
    fake.nova.end = "stuck"
    fake.faults.append(Fault(f"POST {SERVER}/migrations/1/action", 403, "Policy doesn't allow it."))
    with pytest.raises(MigrationFailed, match=r"the policy cannot be carried out: cloud fake: Policy doesn't allow it"):
        migrate(instance)


def test_a_server_that_goes_to_error_while_it_migrates(fake: FakeCloud, cloud: Cloud, boot: BootImage) -> None:
    instance = made(cloud, boot)
    fake.nova.end = "stuck"
    (server,) = fake.nova.servers.values()

    def fails() -> None:
        server.update(status="ERROR", fault={"message": "the disk is gone"})

    with pytest.raises(MigrationFailed, match="is in ERROR: the disk is gone"):
        asyncio.run(instance.migrate("two", 5.0, threading.Timer(0.1, fails).start))


@pytest.mark.parametrize("status", [0, 502])
def test_a_request_whose_answer_is_lost_is_not_sent_again(
    fake: FakeCloud, cloud: Cloud, boot: BootImage, status: int
) -> None:
    instance = made(cloud, boot)
    fake.faults.append(Fault(f"POST {SERVER}/action", status, after=True))
    answer = migrate(instance)
    assert (answer["status"], answer["accepted_ns"], len(fake.nova.migrations)) == ("completed", None, 1)


def test_a_request_that_came_to_nothing_says_so(fake: FakeCloud, cloud: Cloud, boot: BootImage) -> None:
    instance = made(cloud, boot)
    fake.faults.append(Fault(f"POST {SERVER}/action", 500, "Unexpected API Error."))
    with pytest.raises(MigrationFailed, match=r"came to nothing: cloud fake: Unexpected API Error\."):
        migrate(instance)
    assert fake.nova.migrations == []


def test_an_outage_and_a_new_token_do_not_end_a_migration(
    fake: FakeCloud, cloud: Cloud, boot: BootImage, clock: Clock
) -> None:
    instance = made(cloud, boot)
    fake.nova.migration_s = 0.1

    def requested() -> None:
        fake.faults.append(Fault(f"GET {SERVER}", 503, "maintenance", times=5))
        fake.tokens.clear()

    assert asyncio.run(instance.migrate("two", 5.0, requested))["status"] == "completed"
    assert sum(clock.slept) > 10
