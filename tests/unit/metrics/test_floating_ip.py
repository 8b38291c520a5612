"""A distributed floating IP moves with its instance: what the hosts sent for it, and what of a blackout waited."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from faketrial import light, record

from migrascope.metrics import floating_ip
from migrascope.metrics.blackout_steps import KEYS
from migrascope.metrics.trial import measure
from migrascope.metrics.windows import windows_of
from migrascope.model.family import key_of
from migrascope.model.measured import Measured
from migrascope.store.recording import Recording, polars_schema

MS = 10**6
SOURCE, DESTINATION = "host-a", "host-b"
CHASSIS = {"data": [["u-1", "initial", SOURCE], ["u-2", "initial", DESTINATION]], "headings": ["row", "action", "name"]}
ANSWERS = (
    "event=ADDED table=11 cookie=0xbbde2487 arp,reg14=0x1,metadata=0x3,arp_tpa=192.0.2.182,arp_op=1 "
    "actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],set_field:fa:16:3e:2e:8f:1c->eth_src,set_field:2->arp_op,"
    "move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[],set_field:fa:16:3e:2e:8f:1c->arp_sha,resubmit(,40)"
)
OTHERS = [
    "event=ADDED table=11 cookie=0x5f9d83e arp,reg14=0x1,metadata=0x3,arp_tpa=192.0.2.182,arp_op=1",
    "event=ADDED table=11 cookie=0x62df5602 arp,metadata=0x3,arp_tpa=192.0.2.182,arp_op=1 "
    "actions=move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],move:NXM_NX_XXREG0[64..111]->NXM_OF_ETH_SRC[],set_field:2->arp_op",
    "event=ADDED table=36 cookie=0x228350a9 arp,reg10=0/0x2,metadata=0x2,arp_tpa=192.0.2.182,arp_op=1 "
    "actions=clone(set_field:0x3->reg15,resubmit(,40)),set_field:0x8004->reg15,resubmit(,40)",
    ANSWERS.replace("event=ADDED", "event=DELETED reason=delete"),
]
"""Those that every chassis has once the router's datapath is there, and that of one which had the floating IP."""
Frame = tuple[float, str, str, str, str]
"""ms from RESUME, node, place, way, kind"""
CAME: list[Frame] = [
    (-900, SOURCE, "tap", "to", "frame"), (-900, SOURCE, "router", "from", "frame"),
    (1, DESTINATION, "tap", "from", "rarp"), (2, DESTINATION, "tap", "to", "frame"),
    (5, DESTINATION, "tap", "from", "frame"),
]  # fmt: skip


def trial(
    folder: Path,
    frames: list[Frame],
    flows: Sequence[tuple[float, str, str]],
    floating: str = "distributed",
    **plan: Any,
) -> Recording:
    """The trial of the fake lab, whose guest answers 41 ms after RESUME, with what was seen of it. flows: ms from
    RESUME, the host whose switch has it, the line."""
    recording = record(folder, light(blocks=1, probes={"echo_rate": 500}, **plan))
    resume = windows_of(recording).resume
    assert resume is not None
    wall = resume + recording.wall_clock.offset_ns()
    of = ("vm-1", "m-1")
    seen = [(wall + round(at * MS),) * 2 + (*what, 1, "announce", "fabric", *of) for at, *what in frames]
    said = [(wall - 4000 * MS, "chassis", json.dumps(CHASSIS), f"ovn-{SOURCE}", SOURCE, *of)]
    said += [(wall + round(at * MS), "flow", line, f"ovn-{host}", host, *of) for at, host, line in flows]
    for name, rows in (("announce", seen), ("ovn", said)):
        table = pl.DataFrame(rows, schema=polars_schema(name), orient="row")
        table.write_parquet(recording.folder / f"{name}.parquet")
    return Recording(recording.folder, trial=replace(recording.trial, settings={"floating_ips": floating}))


def steps(found: dict[str, Measured]) -> dict[str, float | None]:
    """Lengths in ms, without those of 0 and what is missing; all of them are the blackout."""
    total = found["network_blackout_s"].value
    assert total is not None
    assert sum(found[key].value or 0.0 for key in KEYS) == pytest.approx(total, abs=1e-5)
    return {key.partition(".")[2]: 1e3 * value for key in KEYS if (value := found[key].value)}


def test_packets_that_wait_until_the_floating_ip_has_moved(tmp_path: Path) -> None:
    frames = [
        *CAME, (10, DESTINATION, "router", "to", "arp"), (25, DESTINATION, "router", "to", "frame"),
        (30, DESTINATION, "router", "from", "garp"), (39, DESTINATION, "router", "from", "frame"),
    ]  # fmt: skip
    flows = [(15, SOURCE, ANSWERS), *((18, DESTINATION, line) for line in OTHERS), (20, DESTINATION, ANSWERS)]
    found = measure(trial(tmp_path, frames, flows))
    lengths = steps(found)
    wanted = {"answer": 3, "claim": 15, "move": 10, "routing": 9}
    assert {name: lengths[name] for name in wanted} == pytest.approx(wanted, abs=0.01)
    assert found["ovn.floating_s"].value == pytest.approx(0.020, abs=1e-5)
    stamps = [found[key].value for key in floating_ip.KEYS]
    assert stamps == pytest.approx([-0.9, 0.025, 0.030, 0.030], abs=1e-5)
    assert found["wiring.router_s"].value == pytest.approx(0.039, abs=1e-5)


def test_packets_that_the_source_sends_on_wait_for_no_floating_ip(tmp_path: Path) -> None:
    """As where the source is the router's gateway: the destination has the floating IP long after the blackout."""
    frames = [
        *CAME, (39, SOURCE, "router", "from", "frame"), (2500, DESTINATION, "router", "from", "garp"),
        (2600, DESTINATION, "router", "from", "frame"),
    ]  # fmt: skip
    found = measure(trial(tmp_path, frames, [(1500, DESTINATION, ANSWERS)]))
    lengths = steps(found)
    assert lengths["routing"] == pytest.approx(34, abs=0.01)
    assert {found[f"blackout_step_s.{name}"].reason for name in ("claim", "move")} == {
        "nothing waited for a floating IP to move"
    }
    stamps = [found[key].value for key in floating_ip.KEYS if key != "floating_ip.brought_s"]
    assert stamps == pytest.approx([0.039, 2.5, 2.5], abs=1e-5)
    assert found["floating_ip.brought_s"].reason == f"not seen: {floating_ip.STAMPS['brought']}"


def test_a_claim_that_nobody_saw_is_unexplained(tmp_path: Path) -> None:
    frames = [*CAME, (30, DESTINATION, "router", "from", "garp"), (39, DESTINATION, "router", "from", "frame")]
    flows = [*((20, DESTINATION, line) for line in OTHERS), (20, SOURCE, ANSWERS)]
    found = measure(trial(tmp_path, frames, flows))
    lengths = steps(found)
    assert {"claim", "move"} & set(lengths) == set()
    assert found["blackout_step_s.claim"].reason == "nothing showed its end"
    assert (lengths["unexplained"] or 0) >= 25
    assert found["ovn.floating_s"].reason == "nothing showed it"


def test_a_centralized_floating_ip_does_not_move(tmp_path: Path) -> None:
    frames = [*CAME, (39, SOURCE, "router", "from", "frame")]
    found = measure(trial(tmp_path, frames, [(20, DESTINATION, ANSWERS)], floating="centralized"))
    assert "claim" not in steps(found)
    keys = (*floating_ip.KEYS, "ovn.floating_s")
    assert {found[key].reason for key in keys} == {floating_ip.CENTRALIZED}


def test_over_ipv6_there_is_no_floating_ip_to_wait_for(tmp_path: Path) -> None:
    frames = [
        *CAME, (6, DESTINATION, "tap", "from", "frame6"), (39, SOURCE, "router", "from", "frame6"),
        (30, DESTINATION, "router", "from", "garp"), (39, DESTINATION, "router", "from", "frame"),
    ]  # fmt: skip
    found = measure(trial(tmp_path, frames, [(20, DESTINATION, ANSWERS)], families=["ipv4", "ipv6"]))
    assert found["blackout_step_s.claim"].value == pytest.approx(0.015, abs=1e-5)
    assert found[key_of("blackout_step_s.claim")].reason == "nothing waited for a floating IP to move"
    assert found[key_of("blackout_step_s.routing")].value == pytest.approx(0.033, abs=1e-5)
