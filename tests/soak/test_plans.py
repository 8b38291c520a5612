"""Plans by the ten thousand: mutated ones are refused or read back, and so is whatever is accepted."""

import contextlib
import random
import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from kept import Kept
from migrascope.cli.main import app
from migrascope.model.kinds import KINDS
from migrascope.model.plan import Plan
from migrascope.model.problem import Problem, UsageProblem
from migrascope.model.schedule import schedule
from migrascope.study.plans import PlanError, built_in, load, parse, text_of
from soak.tried import Tried

pytestmark = pytest.mark.soak
NASTY = [
    "nan", "inf", "-inf", "-1", "0", "1e999", "-0.0", "9" * 400, "9" * 9000, "0x" + "f" * 300, "true", "[]", "{}", "''",
    "'1s'", "'-1s'", "'1ns'", "'1000000h'", "'1EiB'", "'1 EiB'", "'0B'", "'nan%'", "'∞'", "'１s'", "'1s\\n'",
    '"\\u0000"', '"\\u001b[2J"', '"[bold]x[/]"', "'../../x'", "'/etc/passwd'", "'; rm -rf /'",
    f"'{' ' * 20_000}x'", f"'{'9' * 3000}s'",
    "[" * 2000, "[[[[1]]]]", "{a = {b = {c = 1}}}", "1979-05-27T07:32:00Z", "07:32:00", "'''\n'''", "['none', 'none']",
    "'fit'", "'openstack'", "'post-copy'", "'203.0.113.7; x'",
]  # fmt: skip
BYTES = [
    "\0",
    "\x7f",
    "\x1b",
    "\u202e",
    "\ufeff",
    "\r",
    "\n",
    "\t",
    '"',
    "'",
    "[",
    "]",
    "{",
    "}",
    "=",
    ".",
    ",",
    "#",
    "\\",
]


def mutated(text: str, chance: random.Random) -> str:
    """A plan's text with some of its lines, values and characters changed."""
    for _ in range(chance.choice([1, 1, 2, 4])):
        lines = text.split("\n")
        at = chance.randrange(len(lines))
        key, equals, value = lines[at].partition("=")
        match chance.randrange(9):
            case 0 | 1 | 2 if equals:
                lines[at] = f"{key}= {chance.choice(NASTY)}"
            case 3 if equals:
                wrong = chance.choice(
                    [key.upper(), key.strip() + "x", f"a.{key}", "x" * 5000, f'"{chance.choice(BYTES)}"']
                )
                lines[at] = f"{wrong} ={value}"
            case 4:
                lines.insert(at, lines[chance.randrange(len(lines))])
            case 5:
                del lines[at]
            case 6:
                lines[at:at] = [f"[{'.'.join('x' * chance.choice([1, 3, 3000]))}]", "a = 1"]
            case 7:
                lines[at] = (lines[at] * chance.choice([2, 50, 3000]))[: 2**22]
            case _:
                where = chance.randrange(len(lines[at]) + 1)
                lines[at] = lines[at][:where] + chance.choice([*BYTES, *string.printable]) + lines[at][where + 1 :]
        text = "\n".join(lines) or "\n"
    return text


def test_mutated_plans_are_refused_or_can_be_read_back(
    tmp_path: Path, kept: Kept, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = [*built_in().values(), text_of(Plan()), EVERYTHING]
    path = tmp_path / "plan.toml"
    tried = Tried("mutated plans", 14_600, longest_s=5)

    def one(chance: random.Random, at: int) -> str:
        tried.input = mutated(chance.choice(texts), chance)
        path.write_text(tried.input, encoding="utf-8", newline="")
        try:
            plan = load(str(path))
        except UsageProblem as problem:
            words = str(problem)
        else:
            words = ""
        if words:
            assert len(words) < 20_000
            return "refused"
        assert parse(text_of(plan), "again") == plan
        if at % 50 == 0:  # by the command, too, which lists its trials
            ends(lambda: app(["plan", str(path)], result_action="return_value"))
            capsys.readouterr()
        return "accepted and read back"

    tried.all(one)
    with capsys.disabled():
        tried.keep(kept)
    assert tried.more_mib < 200
    assert min(tried.came["refused"], tried.came["accepted and read back"]) > 100


def ends(call: Callable[[], object]) -> None:
    """Calls a verb that may have a problem, and no other end but that and 0."""
    with contextlib.suppress(Problem):
        assert call() == 0


EVERYTHING = """
name = "everything"
[axes]
policy = ["mine"]
disturbance = ["none", "slow"]
[policies.mine]
tls = true
bandwidth = "100mbit"
[[disturbance]]
name = "slow"
kind = "guest-memory"
write_rate = "10MB/s"
working_set = "64MiB"
[thresholds]
vm_pause_s = { most = "300ms" }
loss_after_ratio = { most = "1%" }
[capture]
enabled = true
"""


class Values:
    """Values of a plan's fields, by its schema, most of them valid."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.pick: Callable[[list[str]], str] = chance.choice

    def duration(self) -> str:
        return self.pick(
            [f"{self.chance.randint(1, 5000)}ms", f"{self.chance.uniform(0.01, 900):.3f}s", "1.5min", "0.25h"]
        )

    def size(self) -> str:
        return self.pick(["512MiB", "1GiB", "1.5GiB", "2GB", f"{self.chance.randint(256, 4096)}MiB", "300000kB"])

    def rate(self) -> str:
        return self.pick(["1gbit", "100mbit", f"{self.chance.uniform(1, 4000):.3f}mbit", "2500000kbit"])

    def some(self, values: list[Any], most: int = 2) -> list[Any]:
        return self.chance.sample(values, self.chance.randint(1, min(most, len(values))))

    def axes(self) -> dict[str, Any]:
        chance, made = self.chance, dict[str, Any]()
        parts: dict[str, Callable[[], list[Any]]] = {
            "scenario": lambda: self.some(["none", "offline", "online", "relay"], 4),
            "policy": lambda: self.some(["pre-copy", "post-copy", "multifd", "xbzrle", "mine"]),
            "memory": lambda: list({self.size() for _ in range(chance.randint(1, 3))}),
            "link": lambda: list({self.rate() for _ in range(chance.randint(1, 3))}),
            "downtime_limit": lambda: list({self.duration() for _ in range(chance.randint(1, 3))}),
            "cache": lambda: self.some(["warm", "cold"]),
            "resident": lambda: self.some(["0B", "64MiB", "100MB"]),
            "write_rate": lambda: self.some(["0B/s", "10MB/s", f"{chance.randint(1, 900)}MiB/s"]),
            "working_set": lambda: self.some(["16MiB", "64MiB", "128MiB"]),
            "pattern": lambda: self.some(["random", "sequential", "hot", "few"]),
            "probes": lambda: self.some(["all", "none"]),
            "vcpus": lambda: self.some([1, 2, 4]),
        }
        for name in self.some(list(parts), 4):
            made[name] = parts[name]()
        return made

    def plan(self) -> dict[str, Any]:
        chance, made = self.chance, dict[str, Any]()
        parts: dict[str, Callable[[], Any]] = {
            "name": lambda: "".join(chance.choices("abcxyz0189-", k=chance.randint(1, 30))),
            "seed": lambda: chance.choice([0, 1, 2**31, chance.randint(-(2**40), 2**40)]),
            "blocks": lambda: chance.randint(1, 12),
            "axes": self.axes,
            "also": lambda: {
                "blocks": chance.randint(1, 4),
                "scenario": self.some(["none", "offline", "online", "relay"]),
                "resident": self.some(["0B", "64MiB", "100MB"]),
                "outage": self.duration(),
            },
            "windows": lambda: {name: self.duration() for name in self.some(["before", "limit", "boot_limit"], 3)},
            "probes": lambda: {
                "echo_rate": round(chance.uniform(1, 1000), 3),
                "stamp_rate": chance.choice([0, 10.5, 100]),
            },
            "visitors": lambda: {
                "new_rate": chance.choice(["fit", chance.randint(0, 100), 2.5]),
                "viewers": chance.randint(0, 8),
                "file_buffer": self.duration(),
            },
            "instance": lambda: {"vcpus": chance.randint(1, 8)},
            "capture": lambda: {"enabled": chance.random() < 0.5, "snaplen": chance.randint(64, 1500)},
            "verdict": lambda: {"ledger": chance.choice([0, 5, 20.0]), "outage": self.duration()},
            "thresholds": lambda: {"vm_pause_s": {"most": self.duration()}, "loss_after_ratio": {"most": "12.5%"}},
            "policies": lambda: {"mine": {"tls": chance.random() < 0.5, "bandwidth": self.rate()}},
            "disturbance": lambda: [{"name": f"d{chance.randint(0, 9)}", "kind": chance.choice(list(KINDS))}],
            "lab": lambda: {"kind": chance.choice(["qemu", "fake"]), "accelerator": chance.choice(["auto", "tcg"])},
        }
        for name in self.some(list(parts), 5):
            made[name] = parts[name]()
        return made


def test_whatever_is_accepted_can_be_read_back(kept: Kept) -> None:
    """So many that are accepted; how many were generated for that is said."""
    tried = Tried("generated plans that were accepted", 50_000, longest_s=10)
    generated = 0

    def one(chance: random.Random, at: int) -> str:
        nonlocal generated
        values = Values(chance)
        for _ in range(1000):
            generated += 1
            tried.input = tomli_w.dumps(values.plan())
            try:
                plan = parse(tried.input, "generated")
            except PlanError:
                continue
            assert parse(text_of(plan), "again") == plan
            if at % 100 == 0:
                assert len(schedule(plan)) > 0
            return "read back as they were"
        raise AssertionError("a thousand in a row were refused: this test generates no plans any more")

    tried.all(one)
    tried.what += f", of {generated:,} generated"
    tried.keep(kept)
    assert tried.more_mib < 200
