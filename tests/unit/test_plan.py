"""Plans: units written out, all mistakes at once, and the plan that ran is the plan that is kept."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrascope.model.plan import Plan
from migrascope.study.plans import PlanError, built_in, load, parse, text_of


@pytest.mark.parametrize("name", built_in())
def test_a_built_in_plan_is_valid_and_named_as_its_file(name: str) -> None:
    assert load(name).plan.name == name


def test_website_is_four_scenarios_in_six_blocks() -> None:
    plan = load("website").plan
    assert plan.axes.scenario == ["none", "offline", "online", "relay"]
    assert plan.blocks == 6


def test_quick_is_one_block_with_shorter_windows() -> None:
    whole, quick = load("website").plan, load("website", quick=True).plan
    assert quick.blocks == 1
    assert quick.windows.before < whole.windows.before
    assert quick.axes == whole.axes


def test_every_mistake_is_listed_with_its_path_and_the_nearest_name() -> None:
    text = """
    blocks = 0
    [axes]
    scenario = ["none", "ofline"]
    memry = ["1GiB"]
    link = [1000]
    downtime_limit = ["300 parsecs"]
    [windows]
    befor = "2s"
    """
    with pytest.raises(PlanError) as caught:
        parse(text, "my.toml")
    problems = "\n".join(caught.value.problems)
    assert len(caught.value.problems) == 6
    assert "blocks: " in problems
    assert "axes.scenario.1: 'ofline' is not known; did you mean 'offline'?" in problems
    assert "axes.memry: unknown key; did you mean 'memory'?" in problems
    assert "axes.link.0: 1000 has no unit: write it in quotes, as in '1kbit'" in problems
    assert "axes.downtime_limit.0: '300 parsecs' is not a duration" in problems
    assert "windows.befor: unknown key; did you mean 'before'?" in problems
    assert str(caught.value).startswith("my.toml: 6 mistake(s)\n")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("axes = 3", "axes"),
        ("[axes]\nmemory = ['64MiB']", "256MiB at least"),
        ("[axes]\nlink = ['1gbit', '1000mbit']", "same value twice"),
        ("[axes]\nlink = []", "axes.link"),
        ("[axes]\ndowntime_limit = ['0s']", "more than zero"),
        ("blocks = ", "not TOML"),
        ("name = 'Has Spaces'", "name"),
        ("[windows]\nbefore = '0s'", "windows.before"),
    ],
)
def test_a_plan_that_makes_no_sense_says_why(text: str, words: str) -> None:
    with pytest.raises(PlanError, match=words):
        parse(text, "my.toml")


def test_an_unknown_name_lists_the_built_in_plans() -> None:
    with pytest.raises(PlanError, match=r"did you mean 'website'\?.*built-in plans: .*website"):
        load("websit")


def test_a_file_that_is_not_text_says_so(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PlanError, match="not a text file"):
        load(str(tmp_path / "plan.toml"))


@given(
    blocks=st.integers(1, 1000),
    memory=st.lists(st.integers(256, 8192), min_size=1, max_size=3, unique=True),
    limit=st.lists(st.integers(1, 60_000), min_size=1, max_size=3, unique=True),
    link=st.lists(st.integers(1, 40_000), min_size=1, max_size=3, unique=True),
)
def test_the_plan_that_is_kept_reads_back_the_same(
    blocks: int, memory: list[int], limit: list[int], link: list[int]
) -> None:
    plan = Plan.model_validate(
        {
            "blocks": blocks,
            "axes": {
                "memory": [f"{size}MiB" for size in memory],
                "downtime_limit": [f"{milliseconds}ms" for milliseconds in limit],
                "link": [f"{rate}mbit" for rate in link],
            },
        }
    )
    assert parse(text_of(plan), "kept") == plan


def test_base_units_hold_no_text_quantities() -> None:
    plain = Plan().base_units()
    assert plain["windows"]["before"] == 5.0
    assert plain["axes"]["link"] == [1e9]
    assert plain["axes"]["memory"] == [2**30]


@pytest.mark.parametrize("path", sorted(Path(__file__).parents[2].glob("examples/*.toml")), ids=lambda path: path.stem)
def test_every_example_is_a_plan_of_its_name(path: Path) -> None:
    assert load(str(path)).plan.name == path.stem
