"""Names: none that is accepted leads out of a folder, and what is refused is refused with the rule and an example."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrascope.model.name import FOREIGN, OURS, Rule, named
from migrascope.model.plan import Plan
from migrascope.model.problem import UsageProblem
from migrascope.study.plans import PlanError, parse

ESCAPES = ["", ".", "..", "../x", "/etc", "a/b", "a/../..", "-a", "a\n", "a\0", "a b", "~", "a\\b", "é", "*", "$HOME"]
ANY = st.text(st.sampled_from("az09-_./\\~ *\n\0Aé\ud800"), max_size=50) | st.text(max_size=300)


@pytest.mark.parametrize("rule", [OURS, FOREIGN], ids=["ours", "foreign"])
@given(name=ANY)
def test_no_accepted_name_leads_out_of_a_folder(rule: Rule, name: str) -> None:
    if rule.fits(name):
        root = Path("/root/of/ours")
        for path in (root / name, root / f"ms-{name}", root / f"{name}.log", root / f"ms-{name}-controller"):
            assert path.parent == root
            assert path.name not in ("", ".", "..")
            assert len(path.name.encode()) <= 255
        assert not name.startswith("-")
        assert name.isprintable()


@pytest.mark.parametrize("rule", [OURS, FOREIGN], ids=["ours", "foreign"])
@given(data=st.data())
def test_every_name_of_the_pattern_is_accepted(rule: Rule, data: st.DataObject) -> None:
    name = data.draw(st.from_regex(rule.pattern, fullmatch=True))
    assert named("testbed", name, rule) == name


@pytest.mark.parametrize("name", ESCAPES)
@pytest.mark.parametrize("rule", [OURS, FOREIGN], ids=["ours", "foreign"])
def test_what_could_lead_elsewhere_is_refused_with_the_rule_and_an_example(rule: Rule, name: str) -> None:
    with pytest.raises(UsageProblem) as refused:
        named("testbed", name, rule)
    words = str(refused.value)
    assert words.startswith("testbed: ")
    assert repr(name) in words
    assert rule.words in words
    assert rule.example in words
    assert rule.fits(rule.example)


@pytest.mark.parametrize("value", [None, 7, ["a"], b"a"])
def test_what_is_no_text_is_no_name(value: Any) -> None:
    assert not OURS.fits(value)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('name = "../x"', "name"),
        ('[cloud]\ntestbed = "/var/lib/mysql"', "cloud.testbed"),
        ('[cloud]\nvisitors = "../../proc/1/ns/net"', "cloud.visitors"),
        ('[cloud.hosts]\n"../../etc/cron.d/x" = "qemu:///system"', "cloud.hosts"),
        ('[policies."../x"]', "policies"),
        ('[[disturbance]]\nname = "../x"\nkind = "qemu-kill"\ntarget = "source"', "disturbance.0.name"),
    ],
)
def test_a_plan_with_a_name_that_leads_elsewhere_is_refused(text: str, key: str) -> None:
    with pytest.raises(PlanError) as refused:
        parse(text, "evil.toml")
    (problem,) = refused.value.problems
    assert problem.startswith(key)
    assert "is no valid name" in problem
    assert "for example" in problem


def test_names_that_others_gave_are_taken_as_they_are() -> None:
    text = '[cloud]\nvisitors = "qrouter-Ab_1"\n[cloud.hosts]\n"Compute-1.example.org" = "qemu:///system"'
    cloud = parse(text, "plan").cloud
    assert (cloud.visitors, list(cloud.hosts)) == ("qrouter-Ab_1", ["Compute-1.example.org"])
    assert Plan().cloud.visitors == ""


def test_the_schema_of_a_plan_still_says_what_a_name_is() -> None:
    schema = Plan.model_json_schema()
    assert schema["properties"]["name"]["pattern"] == "^[a-z0-9][a-z0-9-]{0,39}$"
    assert schema["$defs"]["CloudPlan"]["properties"]["testbed"]["pattern"] == "^[a-z0-9][a-z0-9-]{0,39}$"
