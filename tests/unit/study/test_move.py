"""`observe ADDRESS -- COMMAND`: the plan that is made of it, and the mistakes that it names."""

from pathlib import Path
from typing import Any

import pytest
from commandline import migrascope
from observedrun import plan_for

from migrascope.cli.main import _arguments
from migrascope.model.problem import Problem, UsageProblem
from migrascope.study.observation.observed import Move, plan_of_move
from migrascope.study.plans import PlanError, parse, text_of


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"address": "vm"}, "address: 'vm' is neither an IPv4 nor an IPv6 address"),
        ({"command": []}, "command: what moves the machine is missing"),
        ({"port": 0}, "port: handshakes need a TCP port"),
        ({"url": "ftp://x/"}, "url: 'ftp://x/' is no URL of a page"),
        ({"way": "none"}, "way: without probes a url"),
    ],
)
def test_a_plan_that_nobody_can_run_says_why(changes: dict[str, Any], words: str) -> None:
    text = text_of(plan_for(80, ["true"]).model_copy())
    wrong = parse(text, "plan").observed.model_copy(update=changes)
    with pytest.raises(PlanError, match="observed: ") as refused:
        parse(text_of(parse(text, "plan").model_copy(update={"observed": wrong})), "plan")
    assert words in str(refused.value)


async def test_a_program_that_is_not_there_is_said_before_anything(port: int) -> None:
    move = Move(["no-such-program"], 1, 0.0, "", 1.0, False)
    with pytest.raises(UsageProblem, match="there is no program 'no-such-program' to run"):
        await plan_of_move("127.0.0.1", "", port, None, move)


async def test_without_any_way_a_url_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    async def none(*_: object) -> None:
        raise Problem("vm: there is no way to observe it")

    monkeypatch.setattr("migrascope.study.observation.observed.target_of", none)
    move = Move(["true"], 3, 0.0, "", 1.0, False)
    plan, words = await plan_of_move("127.0.0.1", "http://127.0.0.1/", None, None, move)
    assert (plan.observed.way, plan.blocks, plan.visitors.new_rate) == ("none", 3, 5.0)
    assert "no probes: vm: there is no way to observe it" in words
    with pytest.raises(Problem, match="no way"):
        await plan_of_move("127.0.0.1", "", None, None, move)


def test_a_commands_options_are_its_own() -> None:
    given = ["observe", "vm", "--rate", "50", "--", "virsh", "migrate", "--live", "a b"]
    assert _arguments(given) == ["observe", "vm", "--rate", "50", "--command=virsh migrate --live 'a b'"]
    assert _arguments(["show", "--", "-1"]) == ["show", "--", "-1"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--"], "a command is missing"),
        (["--for", "1s", "--", "true"], "are for an observation without a command"),
        (["--repeat", "0", "--", "true"], "--repeat: 1 to 1000"),
        (["--repeat", "2"], "want a command"),
        (["--pause", "soon", "--", "true"], "--pause: 'soon' is not a duration"),
        (["127.0.0.2", "--", "true"], "with a command one address is observed"),
        (["--command", "'"], "--command: No closing quotation"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, arguments: list[str], words: str) -> None:
    ended = migrascope("observe", "127.0.0.1", *arguments, folder=tmp_path)
    assert ended.code == 2
    assert words in ended.stderr


def test_a_boot_url_is_of_one_machine(tmp_path: Path) -> None:
    ended = migrascope("observe", "127.0.0.1", "127.0.0.2", "--boot-url", "http://127.0.0.1/", folder=tmp_path)
    assert ended.code == 2
    assert "--boot-url is of one machine" in ended.stderr
