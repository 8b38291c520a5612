"""The documents say what there is: verbs and options, metric keys, tables, links."""

import ast
import contextlib
import io
import re
from functools import cache
from pathlib import Path

import pytest
from faketrial import record

from migrascope.cli.main import app
from migrascope.metrics.catalogue import index
from migrascope.metrics.trial import measure
from migrascope.metrics.windows import WINDOWS
from migrascope.model.kinds import KINDS
from migrascope.model.kinds import index as kinds_index
from migrascope.model.kinds.kind import Kind
from migrascope.model.schedule import schedule
from migrascope.model.tables import TABLES
from migrascope.study.plans import parse

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]
COMMAND = re.compile(r"migrascope ((?:[a-z]+)(?: [^`\n#;&|]*)?)")


def named_commands() -> list[str]:
    """What follows `migrascope` in a code span or a shell block of a document."""
    found = set()
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        code = re.findall(r"```sh\n(.*?)```", text, re.DOTALL) + re.findall(r"`([^`\n]+)`", text)
        found |= {match.strip() for part in code for match in COMMAND.findall(part)}
    return sorted(found)


@cache
def help_of(*verbs: str) -> str:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        app([*verbs, "--help"], result_action="return_value")
    return said.getvalue()


def verbs_of(words: list[str]) -> list[str]:
    """The verb and those below it, as "testbed link up", that a command begins with."""
    verbs: list[str] = []
    level = app
    for word in words:
        if word not in list(level):
            break
        verbs.append(word)
        level = level[word]
    return verbs


@pytest.mark.parametrize("command", named_commands())
def test_every_command_that_is_named_exists(command: str) -> None:
    words = command.split()
    verbs = verbs_of(words)
    assert verbs
    assert words[0] != "testbed" or len(verbs) > 1
    verb, rest = " ".join(verbs), words[len(verbs) :]
    options = help_of(*verbs)
    if "--" in rest:  # what follows are another program's
        rest = rest[: rest.index("--")]
    for option in (word for word in rest if word.startswith("--")):
        assert re.search(rf"{option}\b", options), f"{verb} has no {option}"


def test_commands_are_found_at_all() -> None:
    assert {"run --quick", "show -1 --json", "clean"} <= set(named_commands())


def documented_keys() -> set[str]:
    keys: set[str] = set()
    for page in (DOCS / "metrics").glob("*.md"):
        paragraphs = page.read_text(encoding="utf-8").split("\n\n")
        for paragraph in (each for each in paragraphs if each.startswith("Keys:")):
            for key in re.findall(r"`([^`]+)`", paragraph):
                keys |= {key.replace("WINDOW", window) for window in WINDOWS}
    return keys


def test_every_metric_has_a_page_and_every_page_a_metric(tmp_path: Path) -> None:
    assert documented_keys() == set(measure(record(tmp_path)))


def test_the_index_of_metrics_is_the_catalogue_s() -> None:
    assert index() in (DOCS / "metrics/README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", sorted((DOCS / "metrics").glob("*.md")), ids=lambda page: page.stem)
def test_a_metric_page_has_its_parts(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    if "\nKeys:" in text:
        for part in ("Definition", "Unit", "Source", "Error", "Traps"):
            assert f"**{part}.**" in text, part
    if page.stem != "README":
        assert f"({page.name})" in (page.parent / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_every_kind_of_disturbance_has_its_page(kind: Kind) -> None:
    page = kind.page()
    assert (DOCS / f"disturbances/{kind.name}.md").read_text(encoding="utf-8") == page
    for part in ("What it does", "How", "What it needs", "Limits"):
        assert f"**{part}.**" in page, part


def test_the_kinds_of_disturbances_are_listed() -> None:
    assert kinds_index() in (DOCS / "disturbances/README.md").read_text(encoding="utf-8")


def test_the_tables_are_those_that_are_recorded() -> None:
    text = (DOCS / "formats.md").read_text(encoding="utf-8")
    for table in TABLES.values():
        columns = ", ".join(f"`{name}` {kind}" for name, kind in table.columns.items())
        assert f"| `{table.name}` | {table.schema} | {table.row} | {columns} |" in text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_each_table_has_a_header(page: Path) -> None:
    """Rows after a blank line are shown as text."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert re.fullmatch(r"\|[-:| ]+\|", [*table.splitlines(), ""][1]), table


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if target != "docs/report.png":
            assert (page.parent / target).exists(), target


def test_every_decision_is_in_the_index() -> None:
    index = (DOCS / "decisions/README.md").read_text(encoding="utf-8")
    for page in (DOCS / "decisions").glob("*.md"):
        assert page.name == "README.md" or f"({page.name})" in index


def test_the_limit_that_comes_first() -> None:
    first = (DOCS / "LIMITATIONS.md").read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("Both hosts share this machine's cores")


def test_the_plan_of_the_tutorial_is_valid_and_as_long_as_it_says() -> None:
    text = (DOCS / "tutorial.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    first, second = blocks
    plan = parse(first, "tutorial")
    axes = plan.axes
    cells = len(axes.scenario) * len(axes.memory) * len(axes.downtime_limit) * len(axes.link)
    assert (cells, plan.blocks * cells) == (8, 48)
    assert "eight cells and 48 trials" in text
    assert len(schedule(parse(first + second, "tutorial"))) == 48 + 32
    assert "32 trials more" in text


def functions_of(page: Path) -> list[str]:
    return re.findall(r"`((?:metrics|analysis)/[a-z_/]+\.py)`", page.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "page", sorted(set((DOCS / "metrics").glob("*.md")) - {DOCS / "metrics/README.md"}), ids=lambda page: page.stem
)
def test_each_metrics_page_names_its_function(page: Path) -> None:
    found = functions_of(page)
    assert found
    assert [name for name in found if not (ROOT / "src/migrascope" / name).is_file()] == []


def test_each_function_on_the_way_back_from_a_number_is_in_its_module() -> None:
    text = (DOCS / "README.md").read_text(encoding="utf-8")
    found = re.findall(r"((?:`\w+`, )*`\w+`) in `([a-z_/]+\.py)`", text)
    assert len(found) > 20
    for names, module in found:
        body = ast.parse((ROOT / "src/migrascope" / module).read_text(encoding="utf-8")).body
        defined = {node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        assert set(re.findall(r"\w+", names)) <= defined, module


def test_the_documents_list_every_package_with_its_own_words() -> None:
    text = (DOCS / "README.md").read_text(encoding="utf-8")
    for package in sorted((ROOT / "src/migrascope").glob("*/__init__.py")):
        first = ast.get_docstring(ast.parse(package.read_text(encoding="utf-8"))) or ""
        assert f"| `{package.parent.name}` | {first.replace(chr(10), ' ')} |" in text
