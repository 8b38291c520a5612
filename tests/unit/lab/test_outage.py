"""Failures of a host's libvirt without a libvirt: what is done to it, and that it is undone once."""

from typing import Any

import pytest

from migrascope.lab.libvirt.outage import LibvirtDies, LibvirtHangs
from migrascope.lab.libvirt.rescue import left_over
from migrascope.study.plans import PlanError, load


class Host:
    """Notes what is done to it."""

    name = "host-a"

    def __init__(self) -> None:
        self.done: list[str] = []

    async def kill(self) -> None:
        self.done.append("kill")

    async def start(self) -> None:
        self.done.append("start")

    def freeze(self, *, frozen: bool) -> None:
        self.done.append("freeze" if frozen else "go on")


async def test_a_supervisor_starts_it_again_and_one_that_is_to_stay_away_is_started_when_that_is_over() -> None:
    for stay in (False, True):
        host: Any = Host()
        dies = LibvirtDies(host, stay=stay)
        await dies.arm()
        assert await dies.heal() is None
        await dies.apply()
        assert host.done == ["kill"]
        assert (await dies.heal() or "").startswith("libvirt took connections")
        assert await dies.heal() is None
        assert host.done == ["kill", "start"]


async def test_one_that_hangs_goes_on_once() -> None:
    host: Any = Host()
    hangs = LibvirtHangs(host)
    await hangs.heal()
    await hangs.apply()
    await hangs.heal()
    await hangs.heal()
    assert host.done == ["freeze", "go on"]


@pytest.mark.parametrize(
    ("states", "host"),
    [
        ({"host-a": "paused", "host-b": "running"}, "host-a"),
        ({"host-a": "running", "host-b": "paused"}, "host-b"),
        ({"host-a": "paused", "host-b": "paused"}, None),
        ({"host-a": "paused", "host-b": "no answer"}, None),
        ({"host-a": "no domain", "host-b": "running"}, None),
    ],
)
def test_what_a_migration_left_paused_is_ended_where_it_runs_elsewhere(
    states: dict[str, str], host: str | None
) -> None:
    assert left_over(states) == host


@pytest.mark.parametrize(
    ("lab", "kind", "service", "words"),
    [
        ("libvirt", "service-kill", "rabbitmq", "the lab libvirt has one service, libvirt, and no rabbitmq"),
        ("qemu", "service-kill", "libvirt", "the lab qemu has no service-kill"),
        (
            "libvirt",
            "service-freeze",
            "database",
            "the lab libvirt has no target controller for service-freeze: one of source, destination",
        ),
    ],
)
def test_a_lab_without_that_service_refuses_it(tmp_path: Any, lab: str, kind: str, service: str, words: str) -> None:
    target = "source" if service == "libvirt" else "controller"
    lasts = "" if kind == "service-kill" else 'duration = "2s"\n'
    text = (
        f'[lab]\nkind = "{lab}"\n[axes]\nscenario = ["none"]\ndisturbance = ["it"]\n[[disturbance]]\nname = "it"\n'
        f'kind = "{kind}"\ntarget = "{target}"\nservice = "{service}"\nwhen = "first-copy"\n{lasts}'
    )
    (tmp_path / "plan.toml").write_text(text)
    with pytest.raises(PlanError, match=words):
        load(str(tmp_path / "plan.toml"))
