"""A run over several networks: a testbed for each, of which one is up at a time."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast, get_args

import pytest

from migrascope.model.network import NetworkLevel, Way
from migrascope.model.plan import Plan
from migrascope.model.problem import Problem
from migrascope.model.schedule import schedule
from migrascope.store.recording import TrialFacts
from migrascope.study import plans
from migrascope.study.labs import clouds
from migrascope.study.labs.labs import Up
from migrascope.testbed.settings import Settings


class Silent:
    """A progress of which nothing is asked but steps."""

    waiting = None

    def step(self, text: str) -> None:
        pass


@pytest.fixture
def did(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What became of which testbed, in its order; one called known is there before. That of agents-vxlan fails."""
    done: list[str] = []

    class Named:
        def __init__(self, name: str) -> None:
            self.name, self.made = name, name.startswith("known-agents-vlan")

    @contextlib.asynccontextmanager
    async def lab(testbed: Named, plan: Plan, *given: Any) -> AsyncIterator[Up]:
        done.append(f"up {testbed.name}")
        if given[-1].tenant == "vxlan":
            raise Problem("it does not come up")

        async def trial(spec: Any, folder: Path) -> TrialFacts:
            done.append(f"trial {spec.number} on {testbed.name}")
            return cast(TrialFacts, None)

        yield Up({"lab": "openstack"}, lambda loaded: trial)

    async def purge(testbed: Named) -> None:
        done.append(f"purge {testbed.name}")

    async def down(testbed: Named) -> None:
        done.append(f"down {testbed.name}")

    for name, stand_in in (("Testbed", Named), ("_testbed", lab), ("_purge", purge), ("_down", down)):
        monkeypatch.setattr(clouds, name, stand_in)
    return done


def plan_of(testbed: str, *networks: str) -> Plan:
    text = f'blocks = 2\nlab.kind = "openstack"\ncloud.testbed = "{testbed}"\naxes.scenario = ["none"]\n'
    return plans.parse(f'name = "x"\n{text}axes.network = {list(networks)}', "x")


def lab_over(plan: Plan) -> clouds._Testbeds:
    return clouds._Testbeds(plan, cast(Any, None), Path("/"), cast(Any, Silent()))


async def test_each_trial_has_the_testbed_of_its_network_and_what_the_run_made_goes(did: list[str]) -> None:
    plan = plan_of("net", "agents-vlan", "ovn-geneve")
    order = [spec.factors.network for spec in schedule(plan)]
    assert sorted(order) == ["agents-vlan", "agents-vlan", "ovn-geneve", "ovn-geneve"]
    async with lab_over(plan) as found:
        await found.of("agents-vlan")
        run = found.trials(plan)
        for spec in schedule(plan):
            await run(spec, Path("/"))
    assert [step for step in did if "trial" in step] == [
        f"trial {at} on net-{name}" for at, name in enumerate(order, 1)
    ]
    there: list[str] = []
    for step in did:
        what, _, name = step.partition(" ")
        if what == "up":
            assert there == [], "one is up at a time"
            there = [name]
        elif what == "purge":
            assert there == [name]
            there = []
    assert there == []


async def test_the_testbed_of_the_first_trial_comes_up_first(did: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    async def made(*_: object, **__: object) -> Any:
        return Path("/"), None

    monkeypatch.setattr(clouds, "roots", made)
    monkeypatch.setattr(clouds, "guest_image", made)
    plan = plan_of("net", "agents-vlan", "ovn-geneve")
    for network in ("ovn-geneve", "agents-vlan"):
        first = next(spec for spec in schedule(plan) if spec.factors.network == network)
        did.clear()
        async with clouds.cloud_trials(plan, cast(Any, Silent()), first) as up:
            await up.trials(plan)(first, Path("/"))
        assert did == [f"up net-{network}", f"trial {first.number} on net-{network}", f"purge net-{network}"]


async def test_a_testbed_that_was_there_goes_down_and_is_not_purged(did: list[str]) -> None:
    async with lab_over(plan_of("known", "agents-vlan")) as found:
        assert await found.of("agents-vlan") is await found.of("agents-vlan")
    assert did == ["up known-agents-vlan", "down known-agents-vlan"]


async def test_what_does_not_come_up_is_purged_too(did: list[str]) -> None:
    with pytest.raises(Problem, match="does not come up"):
        async with lab_over(plan_of("net", "agents-vxlan")) as found:
            await found.of("agents-vxlan")
    assert did == ["up net-agents-vxlan", "purge net-agents-vxlan"]


def test_every_level_is_a_way_that_a_testbed_has() -> None:
    for level in get_args(NetworkLevel):
        settings = Settings(**Way.of(level)._asdict())
        assert level.removeprefix(f"{settings.network}-{settings.tenant}") in ("", "-at-once", "-distributed")
        assert level.endswith("at-once") == (settings.activation == "at-once")
        assert level.endswith("distributed") == settings.distributed


@pytest.mark.parametrize(("lab", "cloud"), [("qemu", ""), ("libvirt", ""), ("openstack", 'cloud.name = "theirs"')])
def test_only_testbeds_have_networks_to_choose(lab: str, cloud: str) -> None:
    with pytest.raises(plans.PlanError, match="only a testbed can have another network"):
        plans.parse(f'name = "x"\nlab.kind = "{lab}"\naxes.network = ["ovn-geneve"]\n{cloud}', "x")
