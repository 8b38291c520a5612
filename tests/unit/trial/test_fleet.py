"""Several instances migrated together: what is asked of the API, what is recorded, and what the figures say."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from commandline import migrascope
from fakecloud import FakeCloud, Fault

from kept import Kept
from migrascope.analysis.export import summary_json
from migrascope.analysis.results import CONCLUSIONS
from migrascope.analysis.run import analyse
from migrascope.cloud.client import Cloud, Patience
from migrascope.cloud.pace import Pace
from migrascope.lab.boot_image import BootImage
from migrascope.lab.fleet import State
from migrascope.lab.openstack.access import CloudAccess
from migrascope.lab.openstack.lab import OpenstackLab, hypervisors
from migrascope.lab.openstack.ownership import InstanceRequest
from migrascope.lab.openstack.resources import Ground, Resources
from migrascope.metrics.catalogue import metric_of
from migrascope.metrics.fleet import Instance, instances
from migrascope.metrics.trial import measure
from migrascope.model.measured import Measured
from migrascope.model.plan import FleetPlan
from migrascope.model.schedule import schedule
from migrascope.node.machine import TAG
from migrascope.node.namespace import Namespace
from migrascope.node.register import Register
from migrascope.report.build import write_results
from migrascope.store.runfolder import RunFolder
from migrascope.study.plans import parse, text_of
from migrascope.trial.fleet import MOST_WATCHED, FleetEngine, echoes, spread, width_of, wrong
from migrascope.trial.runtime import MachineRuntime

BENCHMARK = Path(__file__).parents[3] / "benchmarks" / "fleet.py"
SERVER = "/compute/v2.1/servers/[0-9a-f-]{36}"
NO_BOOT = BootImage(Path(), Path(), Path(), "")
OURS = f"{TAG}-aaaaaaaaaaaa"
PLAN = """
blocks = {blocks}
[lab]
kind = "openstack"
[axes]
scenario = ["none"]
probes = ["none"]
[windows]
before = "100ms"
limit = "2s"
[fleet]
"""


@pytest.fixture
def fake() -> Iterator[FakeCloud]:
    with FakeCloud() as cloud:
        cloud.quotas = dict.fromkeys(cloud.quotas, 10**6)
        yield cloud


class Booted(MachineRuntime):
    """Every guest answers that it is ready: none runs."""

    async def request(
        self, client: Namespace | None, url: str, *, post: bool = False, timeout_s: float
    ) -> tuple[int, bytes]:
        return 200, b"{}"


def fleet_run(fake: FakeCloud, folder: Path, fleet: str, blocks: int = 1) -> RunFolder:
    """A run of a plan with this [fleet] on the fake cloud."""
    patience = Patience(60.0, time.monotonic, lambda seconds: time.sleep(min(0.02, seconds)))
    cloud = Cloud.connect("fake", fake.clouds_yaml(folder), patience)
    register = Register.create(folder / "labs")
    resources = Resources(cloud, InstanceRequest(register.id, OURS))
    group = cloud.connection.network.create_security_group(name=register.id, description=resources.request.mark)
    ground = Ground("image", 2**20, fake.inner, fake.outer, group.id)
    facts = {"lab": "openstack", "accelerator": "tcg", "qemu": "10.0.0"}
    lab = OpenstackLab(resources, ground, CloudAccess(), register, hypervisors(cloud), None, 1, facts, NO_BOOT)
    plan = parse(PLAN.format(blocks=blocks) + fleet, "test")
    run = RunFolder.create(folder / "runs", text_of(plan), {"lab": "openstack"})
    engine = FleetEngine(lab, plan, lambda _: None, Booted())
    for spec in schedule(plan):
        opened = run.open_trial(spec.number)
        run.seal_trial(opened, asyncio.run(engine.run(spec, opened)))
    assert fake.nova.servers == fake.things["volumes"] == fake.things["floatingips"] == {}
    return run


@pytest.mark.parametrize(
    ("how", "at_once", "most"), [("one-after-another", 9, 1), ("at-once", 9, 4), ("at-once", 2, 2), ("drain", 9, 3)]
)
def test_each_way_of_migrating_several(fake: FakeCloud, tmp_path: Path, how: str, at_once: int, most: int) -> None:
    fake.nova.at_once, fake.nova.migration_s, fake.nova.together = at_once, 0.15, most
    run = fleet_run(fake, tmp_path, f'count = [4]\nhow = "{how}"\nparallel = 3\nrequests = 50\n')
    (recording,) = run.recordings()
    assert (recording.trial.status, recording.trial.factors.instances) == ("ok", 4)
    assert fake.nova.most_at_once == most
    found = instances(recording)
    assert [item.name for item in found] == ["vm-1", "vm-2", "vm-3", "vm-4"]
    metrics = measure(recording)
    assert metrics["fleet.migrated"].value == 4
    assert metrics["fleet.at_once"].value == most
    assert [key for key in metrics if not metric_of(key)] == []
    for instance in found:
        took = instance.figures()["migration_time_s"]
        assert took.value is not None
        assert took.value + (took.bound or 0.0) >= 0.15
    total = metrics["fleet.total_s"].value
    assert total is not None
    assert total >= 0.15 * -(-4 // most) - 0.05
    assert metrics["fleet.blackout_s.median"].reason == "of no instance watched by a probe of its own"
    assert metrics["migration_time_s"].reason == "a fleet has figures of its own: fleet.*"


def test_several_are_compared_with_one_alone(fake: FakeCloud, tmp_path: Path) -> None:
    fake.nova.migration_s = 0.25
    run = fleet_run(fake, tmp_path, "count = [1, 4]\nrequests = 50\n", blocks=6)
    summary = analyse(run)
    costs = {cost.cell.factors.instances: cost for cost in summary.fleet}
    assert costs[1].slowdown == {}
    slower = costs[4].slowdown["from_request_s"]
    assert slower is not None
    assert slower.blocks == 6
    assert slower.low is not None
    assert slower.high is not None
    # they wait for each other: 1, 2, 3 and 4 times as long
    # the interval's ends are the blocks in which this machine was busiest with one and with the other
    assert slower.low <= slower.ratio <= slower.high
    assert 1.5 < slower.ratio < 4
    carried = costs[4].slowdown["migration_time_s"]
    assert carried is not None
    assert carried.ratio == pytest.approx(1.0, abs=0.5)
    assert costs[4].slowdown["blackout_s"] is None
    told = json.loads(json.dumps(summary_json(summary)))
    assert [item["instances"] for item in told["fleet"]] == [1, 4]
    assert told["fleet"][1]["total_s"]["low"] <= told["fleet"][1]["total_s"]["median"]
    assert told["fleet"][1]["slowdown"]["from_request_s"]["coverage"] == pytest.approx(0.96875)
    assert not [
        finding.text for finding in summary.findings if finding.topic in CONCLUSIONS or "0 trials" in finding.text
    ]
    assert told["cells"][1]["metrics"]["fleet.vm-4.waited_s"]["median"] > 0.25
    page = write_results(run, summary).read_text()
    assert "What several instances cost" in page
    assert "No conclusion yet" not in page
    assert f"{slower.low:.2f}–{slower.high:.2f}" in page


@pytest.mark.parametrize(
    ("end", "words"),
    [("error", "vm-1: Compute says error"), ("refused", "vm-1: refused: cloud fake: Compute host"), ("stuck", "stuck")],
)
def test_what_does_not_migrate_is_told(fake: FakeCloud, tmp_path: Path, end: str, words: str) -> None:
    fake.nova.end = end
    (recording,) = fleet_run(fake, tmp_path, "count = [3]\nrequests = 50\n").recordings()
    assert recording.trial.status == "failed"
    assert recording.trial.reason is not None
    assert recording.trial.reason.startswith("3 of 3 did not migrate; ")
    assert words in recording.trial.reason
    metrics = measure(recording)
    assert (metrics["fleet.migrated"].value, metrics["fleet.failed"].value) == (0, 3)
    assert metrics["fleet.total_s"].value is None


def test_a_request_whose_answer_is_lost_is_not_sent_again(fake: FakeCloud, tmp_path: Path) -> None:
    fake.nova.migration_s = 0.2
    fake.faults.append(Fault("POST .*/action", 502, after=True))
    (recording,) = fleet_run(fake, tmp_path, "count = [2]\nrequests = 50\n").recordings()
    assert recording.trial.status == "ok"
    assert len(fake.nova.migrations) == 2


def test_without_records_another_host_is_enough(fake: FakeCloud, tmp_path: Path) -> None:
    fake.faults.append(Fault("GET .*/os-migrations", 403, "Policy doesn't allow it.", times=None))
    (recording,) = fleet_run(fake, tmp_path, "count = [3]\nrequests = 50\n").recordings()
    assert recording.trial.status == "ok"
    assert fake.asked("GET .*/os-migrations") == 1
    assert measure(recording)["fleet.at_once"].reason == "the migrations' records are not shown to us"


def test_many_cost_the_api_no_more_than_is_stated(fake: FakeCloud, tmp_path: Path) -> None:
    fake.nova.at_once, fake.nova.migration_s = 20, 0.5
    (recording,) = fleet_run(fake, tmp_path, "count = [60]\nrequests = 2\n").recordings()
    assert recording.trial.status == "ok"
    assert measure(recording)["fleet.migrated"].value == 60
    began = next(at for at, asked in fake.requests if asked.endswith("/action"))
    over = max(at for at, asked in fake.requests if asked.endswith("/os-migrations"))
    looks = [at for at, asked in fake.requests if asked.startswith("GET") and began <= at <= over]
    assert len(looks) >= 4
    assert max(sum(start <= at < start + 5.0 for at in looks) for start in looks) <= 11
    assert fake.asked(f"GET {SERVER}") == 0


@pytest.mark.soak
def test_a_thousand_are_watched_in_a_gigabyte_at_a_stated_rate(kept: Kept) -> None:
    done = subprocess.run(
        [sys.executable, str(BENCHMARK), "1000", "2"], capture_output=True, text=True, timeout=600, check=False
    )
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["goals met"]), done.stdout + done.stderr
    kept.write(done.stdout)


def test_a_pace_is_kept_and_what_is_late_is_not_made_up_for() -> None:
    now, slept = [0.0], list[float]()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    pace = Pace(2.0, lambda: now[0], sleep)
    for _ in range(3):
        pace.take()
    assert slept == [0.5, 0.5]
    now[0] += 10
    pace.take()
    pace.take()
    assert slept == [0.5, 0.5, 0.5]
    assert pace.requests == 5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["website", "--lab", "fake", "--instances", "4"], "need the lab openstack, not fake"),
        (["mine.toml"], "the page of the scenario none"),
    ],
)
def test_what_a_fleet_does_not_do_is_refused(tmp_path: Path, arguments: list[str], words: str) -> None:
    (tmp_path / "mine.toml").write_text(
        '[lab]\nkind = "openstack"\n[axes]\nscenario = ["offline"]\n[fleet]\ncount = [2]\n'
    )
    ended = migrascope("run", *arguments, folder=tmp_path)
    assert (ended.code, words in ended.stderr) == (2, True)


def test_probes_share_the_rate_and_are_spread() -> None:
    addresses = {f"vm-{number}": f"10.0.0.{number}" for number in range(1, 41)}
    watched = spread(addresses)
    assert len(watched) == MOST_WATCHED
    assert list(watched)[:3] == ["vm-1", "vm-3", "vm-6"]
    assert spread(dict(list(addresses.items())[:4])) == dict(list(addresses.items())[:4])
    probes = echoes(watched, 50.0, "tcp", None)
    assert sum(probe.config["rate"] for probe in probes) == pytest.approx(50.0)
    assert {(probe.config["instance"], probe.config["target"]) for probe in probes} == set(watched.items())


def test_a_blackout_is_as_exact_as_its_probe() -> None:
    black = Measured(1.5, "s", "echo", samples=2).within(resolution=0.032)
    instance = Instance("vm-1", 0, 1, 2, 1, 1, None, black)
    assert instance.figures()["blackout_s"] == black
    assert replace(instance, blackout=None).figures()["blackout_s"].reason == "not watched by a probe of its own"


def test_widths_and_verdicts() -> None:
    widths = {how: width_of(FleetPlan.model_validate({"how": how, "parallel": 3}), 9) for how in
              ("one-after-another", "at-once", "drain")}  # fmt: skip
    assert widths == {"one-after-another": 1, "at-once": 9, "drain": 3}
    before, there = State("ACTIVE", "", "one", ""), State("ACTIVE", "", "two", "completed")
    assert wrong(there, before, "two") is None
    assert wrong(State("ACTIVE", "", "one", ""), before, "") == "it is on the same host as before"
    assert wrong(State("ACTIVE", "", "three", "completed"), before, "two") == "it runs on three"
    assert not State("ACTIVE", "migrating", "two", "completed").settled(before)
    assert not State("ACTIVE", "", "one", "running").settled(before)
    assert not before.settled(before)
