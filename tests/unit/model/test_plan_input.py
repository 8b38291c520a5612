"""Plans that are no plans: each is refused with where and why, quickly, and what is accepted can be read back."""

import copy
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from migrascope.cli.main import app
from migrascope.model.plan import MOST_TRIALS, Plan
from migrascope.model.problem import UsageProblem
from migrascope.model.threshold import in_unit
from migrascope.study.plans import MOST_BYTES, MOST_PROBLEMS, PlanError, load, parse, text_of, thresholds

MANY = "9" * 500


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[visitors]\nmost = nan", r"visitors\.most: "),
        ("[visitors]\nnew_rate = nan", r"visitors\.new_rate"),
        ("[probes]\necho_rate = inf", r"probes\.echo_rate: "),
        ("[probes]\nstamp_rate = nan", r"probes\.stamp_rate: "),
        (f"seed = {MANY}", "seed: "),
        (f"seed = {'9' * 9000}", "not TOML: "),
        (f"[windows]\nbefore = '{MANY}s'", r"windows\.before: .* has 501 characters"),
        (f"[windows]\nbefore = '{' ' * 200_000}x'", r"windows\.before: 'x' is not a duration"),
        (f"[windows]\nbefore = '1{' ' * 200_000}x'", r"windows\.before: .* has 200002 characters"),
        (f"[windows]\nbefore = {MANY}.0", r"windows\.before: "),
        (f"[axes]\nmemory = [1{'0' * 400}]", r"axes\.memory\.0: "),
        ("a = " + "[" * 5000, "nested too deep"),
        (".".join("a" * 5000) + " = 1", "a: unknown key"),
        ("lab.kind." + ".".join("a" * 5000) + " = 1", r"lab\.kind: "),
        ("blocks = 1000\n[axes]\nmemory = ['1GiB', '2GiB']\nlink = ['1gbit', '2gbit']\ncache = ['warm', 'cold']",
         f"make 32000 trials, {MOST_TRIALS} at most"),
        ("[axes]\nmemory = ['1073741824GiB']", "memory: 1024GiB at most"),
        ("[axes]\ndowntime_limit = ['1ns']", "downtime_limit: 1ms to 2000s"),
        ("[axes]\nlink = ['1000000gbit']", "link: 1mbit to 1000gbit"),
        ("[windows]\nbefore = '1000000h'", r"windows\.before: .*86400"),
        ("[visitors]\nfile_buffer = '1000000h'", r"visitors\.file_buffer: .*86400"),
        ("name = '[bold]x[/]'", "name: "),
        ("[visitors]\nbrowser = true\n[lab]\nkind = 'fake'", r"visitors\.browser: the lab fake has no website"),
        ("[visitors]\nbrowser = true\n[axes]\nscenario = ['none']", r"visitors\.browser: .* holds no video"),
        ("instance = 3", "instance: "),
        ("axes = []", "axes: "),
    ],
)  # fmt: skip
def test_nonsense_is_refused_with_its_place(text: str, said: str) -> None:
    with pytest.raises(PlanError, match=said) as error:
        parse(text, "plan.toml")
    assert len(str(error.value)) < 2000


def test_so_many_mistakes_are_listed() -> None:
    with pytest.raises(PlanError, match=f"and {50_000 - MOST_PROBLEMS} more") as error:
        parse("\n".join(f"k{at} = 1" for at in range(50_000)), "plan.toml")
    assert len(str(error.value).splitlines()) == MOST_PROBLEMS + 2


@pytest.mark.parametrize("path", ["/dev/zero", "/", "/proc/self/mem", "large", "binary"])
def test_files_that_are_no_plans(tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "large").write_text("#" * (MOST_BYTES + 1))
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(PlanError, match=path):
        load(path)
    with pytest.raises(PlanError, match=path):
        thresholds(Path(path))


@pytest.mark.parametrize("text", ["nan", "inf", "nan%", "-inf%", "1e999", "9" * 5000, ""])
def test_thresholds_that_are_no_numbers(text: str) -> None:
    for unit in ("ratio", "1"):
        with pytest.raises(ValueError, match="is not a number") as error:
            in_unit(text, unit)
        assert len(str(error.value)) < 200


def test_a_run_without_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageProblem, match="a run has a name"):
        app(["run", "--resume", ""], result_action="return_value")


def quantities(numbers: st.SearchStrategy[Any], *units: str) -> st.SearchStrategy[str]:
    return st.builds("{}{}".format, numbers, st.sampled_from(units))


LEAVES: list[st.SearchStrategy[Any]] = [
    quantities(st.decimals(0, 10**5, places=3), "ns", "us", "ms", "s", "min", "h"),
    quantities(st.integers(0, 10**6), "B", "kB", "MB", "GB", "KiB", "MiB", "GiB"),
    quantities(st.decimals(0, 10**4, places=3), "bit", "kbit", "mbit", "gbit"),
    st.one_of(st.integers(-5, 1000), st.floats()),
    st.one_of(st.text(max_size=12), st.sampled_from(["none", "offline", "fit", "pre-copy", "cold", "openstack"])),
    st.booleans(),
]
ANY = st.one_of(*LEAVES)
BASE = Plan().model_dump(mode="json", exclude_none=True)


@st.composite
def plans(draw: st.DrawFn) -> dict[str, Any]:
    """The plan of all defaults with up to four of its values replaced."""
    value = copy.deepcopy(BASE)
    for _ in range(draw(st.integers(1, 4))):
        table = draw(st.sampled_from([value, *(part for part in value.values() if isinstance(part, dict) and part)]))
        key = draw(st.sampled_from(sorted(table)))
        table[key] = draw(st.lists(ANY, max_size=3) if isinstance(table[key], list) else ANY)
    return value


@given(plans())
def test_what_is_accepted_can_be_read_back(value: dict[str, Any]) -> None:
    try:
        plan = parse(tomli_w.dumps(value), "mutated")
    except PlanError:
        return
    assert parse(text_of(plan), "again") == plan
