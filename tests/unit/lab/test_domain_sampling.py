"""A domain whose host changes while it is sampled: what is known is said, and nothing is made of half a sample."""

import asyncio
from typing import Any, cast

import pytest

from migrascope.lab.hosts import sampling
from migrascope.lab.hosts.sampling import NotSampled, sampled
from migrascope.lab.libvirt.connection import NONE, Connection, LibvirtError
from migrascope.lab.libvirt.placed import Placed
from migrascope.model.running import Running


class Host:
    """A libvirt whose answers are a test's. over: the period of which it gives the rate, where that is another than was
    asked for. away: the call at which the domain goes away."""

    def __init__(self, *, over: int | None = None, away: str = "", measured: bool = True) -> None:
        self.over, self.away, self.measured = over, away, measured
        self.versions = {"libvirt": 11003000, "qemu": 10000002}
        self.period_s = 0

    async def call(self, name: str, *args: Any, **_: object) -> Any:
        if name == self.away:
            raise LibvirtError(f"a: {NONE}: no domain with matching uuid")
        match name:
            case "state":
                return [1, 0]
            case "jobInfo":
                return [0]
            case "XMLDesc":
                return "<domain type='qemu'/>"
            case "info":
                return [1, 2**20, 2**20, 1, 0]
            case "memoryStats":
                return {"rss": 2**21}
            case "startDirtyRateCalc":
                self.period_s = args[0]
                return 0
        return {
            "dirtyrate.calc_status": 2 if self.measured else 1, "dirtyrate.calc_period": self.over or self.period_s,
            "dirtyrate.megabytes_per_second": 3,
        }  # fmt: skip


def sample(host: Host) -> Running:
    domain = Placed({"a": cast(Connection, host)}, "uuid")
    return asyncio.run(sampled(domain, "web1", lambda _: None))


def test_no_more_is_held_than_there_is() -> None:
    found = sample(Host())
    assert found.held_bytes == found.memory_bytes == 2**30
    assert (found.accelerator, found.pages, found.rates) == ("tcg", 512, {1: 3, 2: 3, 4: 3})


@pytest.mark.parametrize("call", ["jobInfo", "info", "memoryStats", "stats"])
def test_a_domain_that_goes_away_is_said(call: str) -> None:
    with pytest.raises(NotSampled, match=r"libvirt on a stopped to answer, or web1 went away: Domain not found"):
        sample(Host(away=call))


def test_the_sample_of_somebody_else_is_not_taken() -> None:
    with pytest.raises(NotSampled, match="somebody else samples web1 on a at the same time"):
        sample(Host(over=60))


def test_a_sample_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "_LATE_S", -10.0)
    with pytest.raises(NotSampled, match="QEMU on a did not measure what web1 dirties over 1 s within"):
        sample(Host(measured=False))
