"""Bad calls: each verb with what it does not take, on outputs that are none; never an internal error."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from faketrial import light

from fakerun import fake_run
from kept import Kept
from soak.tried import Tried

pytestmark = pytest.mark.soak
READERS = ("show", "report", "compare", "check", "export")
ODD = [
    "", " ", "-", "--", "-0", "-1", "-²", "-9999999999999999999999", "latest", ".", "..", "/", "/dev/null", "/dev/zero",
    "/etc/passwd", "/proc/self/mem", "x" * 300, "x/" * 3000, "\x1b[2J", "a\nb", "é\u202e", "\udcff", "[bold]x[/]", "{}",
    "$(id)", "*", "nan", "1e999", "-inf", "٣", "\u2028", "file:///etc/passwd",
]  # fmt: skip
OPTIONS = {
    "plan": ["--lab", "--cloud", "--instances", "--quick", "--json", "--nonsense"],
    "run": ["--resume", "--load-from", "--runs", "--instances", "--lab", "--nonsense"],
    "show": ["--runs", "--json", "--nonsense"],
    "report": ["--runs", "--nonsense"],
    "compare": ["--runs", "--force", "--json", "--nonsense"],
    "check": ["--thresholds", "--junit", "--runs", "--json", "--nonsense"],
    "export": ["--runs", "--nonsense"],
    "qos": ["--window", "--silence", "--around", "--server", "--html", "--csv", "--json", "--nonsense"],
    "schema": ["--nonsense"],
    "disturbances": ["--json", "--nonsense"],
    "doctor": ["--nonsense"],
    "calibrate": ["--nonsense"],
    "clean": ["--nonsense"],
    "testbed": ["--nonsense", "--name"],
    "nonsense": [],
    "--nonsense": [],
    "": [],
}
"""Of those that change this machine only what is refused before they do anything."""
HARMLESS = ("plan", *READERS, "qos", "schema", "disturbances")


def call(chance: random.Random, sound: Path, folder: Path) -> list[str]:
    """A command line that asks for something that there is not, mostly."""
    verb = chance.choice(list(OPTIONS))
    if verb == "clean":
        return [verb, "--nonsense", chance.choice(ODD)]
    if verb == "testbed":
        inner = chance.choice(["up", "down", "status", "nonsense", "node"])
        return [verb, inner, "--name", chance.choice(["../x", "", "A", "\x1b", "x" * 300, "[b]"]), chance.choice(ODD)]
    if verb in ("doctor", "calibrate"):
        return [verb, "--nonsense", chance.choice(ODD)]
    words = [verb]
    if verb == "run":
        words += [chance.choice([*ODD, "website"]), "--resume", chance.choice(ODD), "--runs", str(folder / "none")]
        return words if chance.random() < 0.7 else [verb, "--lab", "fake", "--instances", chance.choice(ODD)]
    for _ in range(chance.choice([0, 1, 1, 2])):
        known = [str(sound), str(folder), "website"] if verb in HARMLESS else []
        words.append(chance.choice([*ODD, *known]))
    for _ in range(chance.choice([0, 1, 1, 2])):
        words += [chance.choice(OPTIONS[verb] or ["--nonsense"]), chance.choice(ODD)][: chance.choice([1, 2, 2])]
    return words


def test_bad_calls_end_with_a_code_and_words(tmp_path: Path, kept: Kept, capsys: pytest.CaptureFixture[str]) -> None:
    sound = fake_run(tmp_path / "sound", light(blocks=1, axes={"scenario": ["none"]})).path
    tried = Tried("bad calls", 185, longest_s=120)

    def one(chance: random.Random, at: int) -> str:
        folder = tmp_path / "here"
        folder.mkdir(exist_ok=True)
        words = call(chance, sound, folder)
        tried.input = repr(words)
        changed = chance.choice(
            [{}, {"COLUMNS": "0"}, {"LANG": "C", "PYTHONUTF8": "0"}, {"TERM": "dumb"}, {"COLUMNS": "x"}]
        )
        output = chance.choice([subprocess.PIPE, subprocess.PIPE, "full", "closed"])
        argv = [sys.executable, "-m", "migrascope", *(word.replace("\0", "") for word in words)]
        if output == "closed":
            argv = ["sh", "-c", 'exec "$@" >&-', "sh", *argv]
        with open("/dev/full", "wb") as full:
            done = subprocess.run(
                [os.fsencode(word) for word in argv],
                stdin=subprocess.DEVNULL,
                stdout=full if output == "full" else subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=folder,
                env={**os.environ, **changed},
                timeout=100,
                check=False,
            )
        said = done.stderr.decode(errors="replace")
        text = f"{words} {changed} {output}: {done.returncode}: {said[-2000:]}"
        assert done.returncode in (0, 1, 2, 3, 4), text
        assert "Traceback" not in said, text
        assert "\x1b[2J" not in said + (done.stdout or b"").decode(errors="replace"), text
        if done.returncode and output == subprocess.PIPE:
            assert said.strip() or done.stdout, text
        return f"ended with {done.returncode}"

    tried.all(one)
    with capsys.disabled():
        tried.keep(kept)
