"""Taking a testbed down and purging it: only what is its own, whatever state it is in, and what came of it is said."""

import io
import json
import os
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from types import SimpleNamespace

import pytest

from migrascope.cli import main, testbed
from migrascope.lab.testbed import life
from migrascope.model.network import FloatingIps
from migrascope.model.problem import Problem, UsageProblem
from migrascope.node.image import IMAGES
from migrascope.node.register import Register
from migrascope.store import removal
from migrascope.testbed.runner import Done
from migrascope.testbed.settings import Settings
from migrascope.testbed.status import Status
from migrascope.testbed.testbed import Images, _state_key
from migrascope.testbed.testbed import Testbed as OneTestbed

Call = Callable[..., tuple[int, str]]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where testbeds and their clouds lie; beside it a foreign folder."""
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "file").write_text("kept")
    state = tmp_path / "state"
    monkeypatch.setattr(life, "CLOUDS", state / "clouds")
    monkeypatch.setattr(testbed, "Testbed", lambda name: OneTestbed(name, state / "testbeds"))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return state


@pytest.fixture
def down(state: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    """`migrascope testbed down` with arguments: exit code, and what it printed."""

    def call(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["migrascope", "testbed", "down", *arguments])
        monkeypatch.setenv("TERM", "dumb")
        out = io.StringIO()
        with redirect_stdout(out), redirect_stderr(out), pytest.raises(SystemExit) as ended:
            main()
        assert isinstance(ended.value.code, int)
        return ended.value.code, out.getvalue()

    return call


def made(state: Path, name: str) -> Path:
    """A testbed of which an interrupted `up` has made some."""
    register = Register.lasting(f"ms-{name}", state / "testbeds")
    register.namespace("controller")
    (register.folder / "controller" / "layer" / "etc").mkdir(parents=True)
    (state / "clouds" / name).mkdir(parents=True)
    (state / "clouds" / name / "clouds.yaml").write_text("")
    return register.folder


def test_a_purge_removes_all_of_it_and_of_nothing_else(state: Path, down: Call) -> None:
    made(state, "one")
    made(state, "one-more")
    assert down("--purge", "--name", "one") == (0, "removed its state\n")
    assert [path.name for path in (state / "testbeds").iterdir()] == ["ms-one-more"]
    assert [path.name for path in (state / "clouds").iterdir()] == ["one-more"]


@pytest.mark.parametrize(
    "name", ["{foreign}", "../../foreign", "one/../../../foreign", "..", ".", "", "/", "One", "a b"]
)
@pytest.mark.parametrize("purge", [["--purge"], []], ids=["purge", "down"])
def test_a_name_that_leads_elsewhere_is_an_error_and_nothing_goes(
    state: Path, down: Call, name: str, purge: list[str]
) -> None:
    folder, foreign = made(state, "one"), state.parent / "foreign"
    code, words = down(*purge, f"--name={name.format(foreign=foreign)}")
    assert code == 2
    assert "is no valid name" in words
    assert "for example testbed-2" in words
    assert (foreign / "file").read_text() == "kept"
    assert folder.exists()
    assert (state / "clouds" / "one" / "clouds.yaml").exists()


@pytest.mark.parametrize("purge", [["--purge"], []], ids=["purge", "down"])
def test_a_name_of_no_testbed_is_an_error_that_lists_those_that_there_are(
    state: Path, down: Call, purge: list[str]
) -> None:
    assert down(*purge, "--name", "tow") == (
        2, "migrascope: there is no testbed tow; there is none\n  next: migrascope testbed up --name tow\n"
    )  # fmt: skip
    made(state, "one")
    made(state, "two")
    code, words = down(*purge, "--name", "tow")
    assert code == 2
    assert "there is no testbed tow; there are: one, two\n" in words


def test_one_of_which_nothing_runs_has_nothing_to_take_down(state: Path, down: Call) -> None:
    folder = made(state, "one")
    assert down("--name", "one") == (0, "there was nothing to take down\n")
    assert folder.exists()


@pytest.mark.parametrize("left", ["folder alone", "register torn", "clouds alone", "file"])
def test_whatever_an_interrupted_up_or_purge_has_left_is_purged(state: Path, down: Call, left: str) -> None:
    folder, clouds = state / "testbeds" / "ms-one", state / "clouds" / "one"
    if left == "clouds alone":
        clouds.mkdir(parents=True)
    elif left == "file":
        folder.parent.mkdir(parents=True)
        folder.write_text("")
    else:
        folder.mkdir(parents=True)
    if left == "register torn":
        (folder / "register.ndjson").write_text('{"kind": "lasti')
    assert down("--purge", "--name", "one") == (0, "removed its state\n")
    assert not folder.exists()
    assert not clouds.exists()
    assert down("--purge", "--name", "one")[0] == 2


def test_a_link_in_the_place_of_its_folders_is_removed_and_not_followed(state: Path, down: Call) -> None:
    foreign = state.parent / "foreign"
    for parent, name in (("testbeds", "ms-one"), ("clouds", "one")):
        (state / parent).mkdir(parents=True)
        (state / parent / name).symlink_to(foreign)
    assert down("--purge", "--name", "one")[0] == 0
    assert (foreign / "file").read_text() == "kept"
    assert not list((state / "testbeds").iterdir()) + list((state / "clouds").iterdir())


def test_what_stays_is_said_and_no_success(state: Path, down: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = made(state, "one")
    layer = folder / "controller" / "layer"
    monkeypatch.setattr(removal.remove_tree, "__defaults__", (lambda: [layer],))
    code, words = down("--purge", "--name", "one")
    assert code == Problem.code
    assert words == (
        f"removed its state\nstays: {folder} is not removed, for something is mounted at {layer}\n"
        f"  next: umount {layer}\n"
    )
    assert layer.exists()
    assert not (state / "clouds" / "one").exists()
    code, words = down("--purge", "--name", "one")
    assert code == Problem.code
    assert words.startswith("stays: ")
    monkeypatch.undo()


@pytest.mark.parametrize("name", ["../x", "", "/etc", "A"])
def test_a_testbed_has_a_valid_name_wherever_that_comes_from(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageProblem, match="no valid name"):
        OneTestbed(name, tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [("tenant", "../x", "tenant"), ("name", "../x", "valid name"), ("loopback", "0.0.0.0", "no address of 127")],
)
def test_settings_that_lead_elsewhere_are_refused(key: str, value: str, words: str) -> None:
    with pytest.raises((Problem, ValueError), match=words):
        Settings.from_json({**Settings().to_json(), key: value})


@pytest.mark.parametrize("floating", ["centralized", "distributed"])
def test_status_and_the_snapshot_s_key_have_where_floating_ips_are(tmp_path: Path, floating: FloatingIps) -> None:
    one = OneTestbed("one", tmp_path)
    one.folder.mkdir()
    settings = Settings("one", network="ovn", tenant="geneve", floating_ips=floating)
    (one.folder / "settings.json").write_text(json.dumps(settings.to_json()))
    assert life.as_json(one, Status())["floating_ips"] == floating
    out = io.StringIO()
    with redirect_stdout(out):
        testbed._show(one, Status())
    assert ("floating IPs: distributed" in out.getvalue()) == (floating == "distributed")
    images = Images(Path("/node"), Path("/guest"))
    plain = _state_key(Settings(network="ovn", tenant="geneve"), images, life.tasks)
    assert (_state_key(settings, images, life.tasks) == plain) == (floating == "centralized")


async def test_floating_ips_stay_where_a_testbed_was_made_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def roots(*_: object) -> list[Path]:
        return [tmp_path] * 3

    async def guest_image(*_: object, **__: object) -> SimpleNamespace:
        return SimpleNamespace(kernel=tmp_path / "kernel")

    one = OneTestbed("one", tmp_path)
    one.folder.mkdir()
    settings = Settings("one", network="ovn", tenant="geneve", floating_ips="distributed")
    (one.folder / "settings.json").write_text(json.dumps(settings.to_json()))
    monkeypatch.setattr(OneTestbed, "nodes", {})
    for name, stand_in in (("roots", roots), ("guest_image", guest_image), ("missing", lambda **_: [])):
        monkeypatch.setattr(life, name, stand_in)
    with pytest.raises(UsageProblem, match=r"the floating IPs of the testbed one are distributed\n.*purge --name one"):
        await life.up(one, "auto", print, print, floating_ips="centralized")
    new = OneTestbed("new", tmp_path)
    with pytest.raises(UsageProblem, match="floating IPs that are distributed are OVN's"):
        await life.up(new, "auto", print, print, floating_ips="distributed")
    assert not new.there


@pytest.mark.parametrize("path", ["/etc", "{images}/../x", "{images}", "{images}/a,upperdir=b", "{images}/a/b", "x"])
def test_an_image_that_is_none_of_the_cache_is_refused(tmp_path: Path, path: str) -> None:
    testbed = OneTestbed("one", tmp_path)
    testbed.folder.mkdir()
    (testbed.folder / "settings.json").write_text(json.dumps(Settings("one").to_json()))
    image = path.format(images=IMAGES)
    (testbed.folder / "images.json").write_text(json.dumps({"node": image, "guest": image}))
    with pytest.raises(Problem, match="is no image in"):
        _ = testbed.nodes


DEEP = "[" * 100_000
STATE_DAMAGES = [
    "",
    "{",
    "[]",
    "7",
    "{}",
    '{"name": 7}',
    '{"tasks": 1}',
    '{"node": {}, "guest": []}',
    DEEP,
    "\x00",
    "NaN",
]


@pytest.mark.parametrize("text", STATE_DAMAGES)
@pytest.mark.parametrize("name", ["settings.json", "images.json", "done.json", "topology.json", "rates.json"])
def test_a_damaged_file_of_a_testbed_is_named_or_does_without(tmp_path: Path, name: str, text: str) -> None:
    testbed = OneTestbed("one", tmp_path)
    testbed.folder.mkdir()
    images = {"node": str(IMAGES / "node-1"), "guest": str(IMAGES / "guest-1")}
    (testbed.folder / "settings.json").write_text(json.dumps(Settings("one").to_json()))
    (testbed.folder / "images.json").write_text(json.dumps(images))
    (testbed.folder / name).write_text(text)
    said = []
    for look in (lambda: testbed.settings, lambda: testbed.nodes, lambda: Done(testbed.done), testbed.rates):
        try:
            look()
        except Problem as problem:
            said.append(str(problem))
    assert not testbed.topology.whole()
    if name in ("settings.json", "images.json", "done.json"):
        assert any(f"{name} is damaged" in words for words in said), said


def test_rates_that_no_link_has_are_passed_over(tmp_path: Path) -> None:
    testbed = OneTestbed("one", tmp_path)
    testbed.folder.mkdir()
    kept = {"migration": 1e9, "storage": "fast", "tenant": -1, "x": 1e9, "external": True}
    (testbed.folder / "rates.json").write_text(json.dumps(kept))
    assert testbed.topology._kept_rates() == {"migration": 1e9}
