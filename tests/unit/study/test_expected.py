"""How long a run is said to take."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from migrascope.mechanism.rules import PAYLOAD
from migrascope.model.schedule import schedule
from migrascope.store.runfolder import RunFolder
from migrascope.study.plans import Options, load, parse
from migrascope.study.runs.environment import environment
from migrascope.study.runs.expected import BOOT_S, Boot, boot_of, expected_s
from migrascope.trial.sampling import PERIODS_S

EXAMPLES = Path(__file__).parents[3] / "examples"
BOOT = 10.0
QUIET = "[probes]\ndirty = false\n"


def each(text: str, boot_s: float = BOOT) -> float:
    """Seconds for one of its trials."""
    plan = parse(text, "")
    specs = schedule(plan)
    return expected_s(plan, specs, boot_s) / len(specs)


def disturbed(kind: str, target: str, when: str, more: str = "", lab: str = "qemu", limit: str = "60s") -> float:
    """How much longer a disturbance makes a trial."""
    text = f"""
[lab]
kind = "{lab}"
[windows]
limit = "{limit}"
[axes]
memory = ["512MiB"]
scenario = ["none"]
disturbance = ["NAME"]
[[disturbance]]
name = "one"
kind = "{kind}"
target = "{target}"
when = "{when}"
{more}
"""
    return each(text.replace("NAME", "one")) - each(text.replace("NAME", "none"))


@pytest.mark.parametrize(
    ("name", "lab", "boot_s", "sampled", "took_s"),
    [
        ("website --quick", "qemu", 13.6, True, 39.5),
        ("controllers", "qemu", 15.4, False, 32.5),
        ("thesis", "libvirt", BOOT_S["libvirt"], False, 19 * 60 / 34),
        ("failures-libvirt", "libvirt", BOOT_S["libvirt"], False, 25.5),
        ("thesis", "qemu", 5.3, False, 14 * 60 / 34),
        ("policies-under-failure", "qemu", 7.0, False, 22 * 60 / 36),
        ("stress", "qemu", 7.0, False, 30 * 60 / 78),
        ("limits", "qemu", 5.3, False, 33 * 60 / 96),
        ("failures-openstack", "openstack", BOOT_S["openstack"], False, 48 * 60 / 31),
    ],
)
def test_what_was_measured_is_expected(name: str, lab: str, boot_s: float, sampled: bool, took_s: float) -> None:
    """Recorded runs: the first two by their events, the others by what the docs have of them. Those of the lab qemu
    there are from before guests were sampled, and do not say how long boots took: 5.3 s is what is left of thesis, and
    more with other work beside."""
    plain = name.removesuffix(" --quick")
    path = EXAMPLES / f"{plain}.toml"
    plan = load(str(path) if path.exists() else plain, Options(lab=lab, quick=plain != name))
    plan = plan.model_copy(update={"probes": plan.probes.model_copy(update={"dirty": sampled})})
    specs = schedule(plan)
    assert expected_s(plan, specs, boot_s) / len(specs) == pytest.approx(took_s, rel=0.15)


def test_a_copy_of_the_volume_takes_its_time() -> None:
    """At 100 Mbit/s 139 MiB take 12.2 s; half of the trials of both kinds have one."""

    def expected(storage: str) -> float:
        return each(f'[axes]\nlink = ["100mbit"]\nstorage = {storage}\n')

    shared, both, copied = map(expected, ('["shared"]', '["shared", "copied"]', '["copied"]'))
    assert copied - shared == pytest.approx(139 * 2**20 * 8 / 100e6 / PAYLOAD)
    assert both - shared == pytest.approx((copied - shared) / 2)


def test_a_sample_is_followed_by_another_steady_window() -> None:
    sampled, quiet = (each(f'[windows]\nbefore = "{4}s"\n{more}') for more in ("", QUIET))
    assert sampled - quiet == pytest.approx(sum(PERIODS_S) + 4, abs=1)
    longer = each('[windows]\nbefore = "5s"\n')
    assert longer - sampled == pytest.approx(3)  # before the sample, after it, and after the migration


def test_memory_goes_over_as_the_link_and_the_policy_let_it() -> None:
    """3 GiB of the plan's at 1 Gbit/s take 27 s, and four times as long with a quarter of it."""
    text = f'{QUIET}[windows]\nlimit = "10min"\n[axes]\nmemory = ["4GiB"]\nresident = ["RESIDENT"]\n'
    bound = f'{text}policy = ["narrow"]\n[policies.narrow]\nbandwidth = "239.1mbit"\n'
    small, large, narrow = (
        each(plan.replace("RESIDENT", held)) for plan, held in ((text, "0B"), (text, "3GiB"), (bound, "3GiB"))
    )
    assert large - small == pytest.approx(3 * 2**30 * 8 / 1e9 / PAYLOAD, rel=0.02)
    assert narrow - large == pytest.approx(3 * 3 * 2**30 * 8 / 1e9 / PAYLOAD, rel=0.1)


def test_what_does_not_converge_takes_until_its_limit() -> None:
    text = (
        f'{QUIET}[windows]\nlimit = "LIMIT"\n[axes]\nmemory = ["1GiB"]\n'
        'write_rate = ["400MB/s"]\nworking_set = ["512MiB"]\n'
    )
    short, long = (each(text.replace("LIMIT", limit)) for limit in ("20s", "45s"))
    assert long - short == pytest.approx(25)


@pytest.mark.parametrize(
    ("kind", "target", "when", "more", "longer_s"),
    [
        ("link-down", "migration", "first-copy", 'duration = "6s"', 6.0),  # nothing goes over meanwhile
        ("link-down", "storage", "setup", 'duration = "1s"', 0.0),  # it is over before the migration is
        ("link-down", "storage", "switchover", 'duration = "6s"', 6.0),  # it is waited for
        ("qemu-freeze", "source", "setup", 'duration = "3s"', 3.0),
        ("neighbour-stale", "", "switchover", 'duration = "15s"\noffset = "1s"', 16.0),
        ("qemu-kill", "destination", "switchover", "", 0.0),
        ("qemu-kill", "destination", "setup", "", -1.2),  # there is no migration left
        ("qemu-kill", "source", "switchover", "", BOOT),
        ("no-memory", "destination", "switchover", 'duration = "2s"', 2.0 + BOOT),
        ("abort", "", "setup", "", -1.2),
    ],
)
def test_a_failure_takes_its_time(kind: str, target: str, when: str, more: str, longer_s: float) -> None:
    """Undisturbed, half a second without a lost probe is waited for; after a failure the operator's service answers."""
    assert disturbed(kind, target, when, more) == pytest.approx(longer_s - 0.7, abs=0.3)


def test_a_host_that_was_off_boots_its_guest_again() -> None:
    off = disturbed("node-off", "source", "first-copy", 'duration = "5s"', "libvirt")
    assert off == pytest.approx(5 + BOOT - 1.2 - 1.0 - 0.7, abs=0.3)


def test_no_migration_goes_on_after_its_limit() -> None:
    cut = disturbed("link-down", "migration", "first-copy", 'duration = "50s"', limit="30s")
    assert cut == pytest.approx(50 - 1.2 - 0.7, abs=0.3)  # it is waited for until the link is up again


def test_one_testbed_goes_and_another_comes_where_the_network_changes() -> None:
    plan = load("network")
    specs = {spec.factors.network: spec for spec in schedule(plan)}
    one, other = specs["ovn-geneve"], specs["agents-vlan"]
    alike, once, twice = (expected_s(plan, order, 40) for order in ([one] * 3, [one, one, other], [one, other, one]))
    assert (once - alike, twice - alike) == pytest.approx((120, 240))


ADDRESS = """
[lab]
kind = "address"
[observed]
address = "192.0.2.1"
command = ["true"]
[visitors]
new_rate = 5
kept_rate = 5
viewers = 0
"""


@pytest.mark.parametrize(("text", "each_s"), [('[lab]\nkind = "fake"\n', 0.3), (ADDRESS, 50)])
def test_where_nothing_boots_no_boot_is_expected(text: str, each_s: float, tmp_path: Path) -> None:
    assert boot_of(parse(text, ""), tmp_path) == Boot(0.0)
    assert each(text) == pytest.approx(each_s)


def made(runs: Path, name: str, boots: Sequence[float], **manifest: Any) -> RunFolder:
    """A run whose trials had so long boots."""
    path = runs / name
    for number, boot_s in enumerate(boots, start=1):
        folder = path / "trials" / str(number)
        folder.mkdir(parents=True)
        stamps = [("trial_start", {"number": number}, 0.0), ("phase", {"phase": "arrange"}, 0.1)]
        stamps += [("phase", {"phase": "steady"}, boot_s), ("phase", {"phase": "before"}, boot_s + 2)]
        events = [
            {"name": event, "mono_ns": round(1e9 * at_s), "wall_ns": 0, "data": data, "instance": "", "migration": ""}
            for event, data, at_s in stamps
        ]
        text = "".join(json.dumps({**event, "host": "engine"}) + "\n" for event in events)
        (folder / "events.ndjson").write_text(text)
    (path / "trials").mkdir(parents=True, exist_ok=True)
    facts = {"schema": 1, "id": name, "lab": "qemu", "accelerator": "tcg", "environment": environment(), **manifest}
    (path / "manifest.json").write_text(json.dumps(facts))
    (path / "plan.toml").write_text('name = "made"\n')
    return RunFolder(path)


def test_a_boot_is_as_in_the_newest_run_that_is_like_it(tmp_path: Path) -> None:
    plan = parse("", "")
    assert boot_of(plan, tmp_path / "nowhere") == boot_of(plan, tmp_path) == Boot(BOOT_S["qemu"])
    made(tmp_path, "20260101-000000-aaaa", [5.0])
    made(tmp_path, "20260102-000000-aaaa", [6.0, 7.0, 9.0])
    made(tmp_path, "20260103-000000-aaaa", [])
    made(tmp_path, "20260104-000000-aaaa", [20.0], lab="libvirt")
    made(tmp_path, "20260105-000000-aaaa", [30.0], environment={**environment(), "cpu": "another"})
    made(tmp_path, "20260106-000000-aaaa", [40.0], accelerator="kvm")
    (tmp_path / "20260106-000000-aaaa" / "plan.toml").write_text("no plan")
    broken = made(tmp_path, "20260107-000000-aaaa", [50.0])
    (broken.path / "trials" / "1" / "events.ndjson").write_text("no event\n")
    assert boot_of(plan, tmp_path) == Boot(7.0, "20260102-000000-aaaa")
    assert boot_of(parse('[lab]\nkind = "libvirt"\n', ""), tmp_path).seconds == 20.0
    made(tmp_path, "20260108-000000-aaaa", [3.0], accelerator="kvm")
    assert boot_of(plan, tmp_path).seconds == 3.0
    assert boot_of(parse('[lab]\naccelerator = "tcg"\n', ""), tmp_path).seconds == 7.0
    made(tmp_path, "20260109-000000-aaaa", [60.0], lab="openstack")
    testbed, theirs = (parse(f'[lab]\nkind = "openstack"\n{more}', "") for more in ("", '[cloud]\nname = "theirs"\n'))
    assert boot_of(testbed, tmp_path).seconds == 60.0
    assert boot_of(theirs, tmp_path).seconds == BOOT_S["openstack"]


def test_a_run_says_what_is_left_of_it() -> None:
    plan = parse('blocks = 4\n[axes]\nscenario = ["none"]\n', "")
    specs = schedule(plan)
    assert expected_s(plan, specs[1:], BOOT) == pytest.approx(3 / 4 * expected_s(plan, specs, BOOT))
    assert expected_s(plan, [], BOOT) == 0
