"""Under sudo, what a run leaves belongs to the user who called it, and nothing else changes hands."""

import os
import shutil
from pathlib import Path

import pytest
from faketrial import light

from migrascope.cli import owner
from migrascope.cli import run as run_command
from migrascope.cli.owner import hand_over, hand_over_run, need_ours
from migrascope.model.plan import Plan
from migrascope.model.problem import Problem, UsageProblem
from migrascope.study.plans import text_of

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
CALLER, OTHER, ROOT = (1234, 1235), (4321, 4321), (0, 0)
SUDO = {"SUDO_UID": "1234", "SUDO_GID": "1235"}


def owner_of(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_uid, found.st_gid


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a run of the caller's, as root has left it."""
    folder = tmp_path / "runs" / "20260101-000000-aaaa"
    (folder / "trials" / "1").mkdir(parents=True)
    (folder / "trials" / "1" / "trial.json").write_text("")
    (folder / "manifest.json").write_text("")
    if os.geteuid() == 0:
        os.chown(folder, *CALLER)
    return folder


@needs_root
def test_all_that_root_made_in_a_run_goes_to_the_caller(run: Path) -> None:
    (run / "link").symlink_to("manifest.json")
    hand_over_run(run, SUDO)
    assert {owner_of(path) for path in (run, *run.rglob("*"))} == {CALLER}


@needs_root
def test_other_runs_and_the_folder_of_all_stay_whose_they_are(run: Path) -> None:
    beside = run.with_name("20260102-000000-bbbb")
    beside.mkdir()
    (beside / "manifest.json").write_text("")
    (run.parent / "shadow").write_text("")
    hand_over_run(run, SUDO)
    assert {owner_of(path) for path in (beside, beside / "manifest.json", run.parent / "shadow", run.parent)} == {ROOT}


@needs_root
def test_what_belongs_to_others_stays_theirs(run: Path) -> None:
    os.chown(run / "manifest.json", *OTHER)
    hand_over_run(run, SUDO)
    assert owner_of(run / "manifest.json") == OTHER
    assert owner_of(run / "trials" / "1" / "trial.json") == CALLER


@needs_root
def test_links_are_not_followed(run: Path, tmp_path: Path) -> None:
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "file").write_text("")
    (run / "to-folder").symlink_to(tmp_path / "foreign")
    (run / "to-file").symlink_to(tmp_path / "foreign" / "file")
    hand_over_run(run, SUDO)
    assert {owner_of(path) for path in (tmp_path / "foreign", tmp_path / "foreign" / "file")} == {ROOT}
    assert owner_of(run / "to-file") == CALLER


@needs_root
def test_a_file_that_has_another_name_elsewhere_is_not_given(run: Path, tmp_path: Path) -> None:
    (tmp_path / "shadow").write_text("secret")
    os.link(tmp_path / "shadow", run / "trials" / "mine")
    os.mkfifo(run / "pipe")
    hand_over_run(run, SUDO)
    assert owner_of(tmp_path / "shadow") == ROOT
    assert owner_of(run / "pipe") == ROOT
    hand_over(run / "trials" / "mine", environment=SUDO)
    assert owner_of(tmp_path / "shadow") == ROOT


@needs_root
@pytest.mark.parametrize("whose", [ROOT, OTHER], ids=["root", "another"])
def test_in_a_run_of_somebody_else_nothing_changes_hands(run: Path, whose: tuple[int, int]) -> None:
    os.chown(run, *whose)
    hand_over_run(run, SUDO)
    assert owner_of(run) == whose
    assert {owner_of(path) for path in run.rglob("*")} == {ROOT}


@needs_root
def test_what_is_mounted_in_a_run_stays_whose_it_is(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = (run / "trials").stat().st_ino
    inside = {there, (run / "trials" / "1").stat().st_ino, (run / "trials" / "1" / "trial.json").stat().st_ino}
    monkeypatch.setattr(owner, "mount_id", lambda handle: str(os.fstat(handle).st_ino in inside))
    hand_over_run(run, SUDO)
    assert owner_of(run / "manifest.json") == CALLER
    assert {owner_of(path) for path in (run / "trials", *(run / "trials").rglob("*"))} == {ROOT}


@needs_root
def test_a_run_that_is_named_through_the_latest_link_is_found(run: Path) -> None:
    (run.parent / "latest").symlink_to(run.name)
    hand_over_run(run.parent / "latest", SUDO)
    assert owner_of(run / "manifest.json") == CALLER
    assert owner_of(run.parent / "latest") == ROOT


@needs_root
def test_single_paths_are_given_alone(run: Path) -> None:
    os.chown(run, *ROOT)
    (run.parent / "latest").symlink_to(run.name)
    hand_over(run, run.parent / "latest", run.parent / "none", environment=SUDO)
    assert (owner_of(run), owner_of(run.parent / "latest")) == (CALLER, CALLER)
    assert owner_of(run / "manifest.json") == ROOT


def test_a_run_that_is_gone_is_no_error(tmp_path: Path) -> None:
    hand_over_run(tmp_path / "none", SUDO)


def test_without_sudo_nothing_changes_hands(run: Path) -> None:
    before = {path: owner_of(path) for path in (run, *run.rglob("*"))}
    hand_over(*before, environment={})
    hand_over_run(run, {})
    assert {path: owner_of(path) for path in before} == before


@pytest.fixture
def sudo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which a user has called sudo; in it a plan of one short trial."""
    for name, value in SUDO.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    plan = light(blocks=1, lab={"kind": "fake"}, axes={"scenario": ["none"]})
    (tmp_path / "plan.toml").write_text(text_of(plan), encoding="utf-8")
    return tmp_path


@needs_root
def test_a_run_gives_its_own_folder_and_the_latest_link_alone(sudo: Path) -> None:
    beside = sudo / "runs" / "20260101-000000-aaaa"
    beside.mkdir(parents=True)
    for path in (beside / "manifest.json", sudo / "runs" / "shadow"):
        path.write_text("")
    assert run_command.run("plan.toml") == 0
    theirs = {path for path in (sudo / "runs").rglob("*") if owner_of(path) == CALLER}
    made = (sudo / "runs" / "latest").resolve()
    assert theirs == {sudo / "runs" / "latest", made, *made.rglob("*")}
    assert (made / "report.html").exists()
    assert owner_of(sudo / "runs") == ROOT


@needs_root
def test_the_folders_that_a_run_has_made_for_itself_are_given_with_it(sudo: Path) -> None:
    (sudo / "there").mkdir()
    assert run_command.run("plan.toml", runs=Path("there/new/runs")) == 0
    assert owner_of(sudo / "there") == ROOT
    assert {owner_of(path) for path in (sudo / "there").rglob("*")} == {CALLER}


@needs_root
def test_a_run_that_fails_before_it_has_a_folder_gives_nothing(sudo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (sudo / "runs").mkdir()
    (sudo / "runs" / "shadow").write_text("")

    async def fail(*_: object) -> None:
        raise Problem("no lab")

    monkeypatch.setattr(run_command, "execute", fail)
    with pytest.raises(Problem, match="no lab"):
        run_command.run("plan.toml")
    assert {owner_of(path) for path in (sudo / "runs", *(sudo / "runs").rglob("*"))} == {ROOT}


@needs_root
def test_a_run_that_is_interrupted_gives_what_it_has(sudo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run_command, "table_and_report", interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_command.run("plan.toml")
    assert {owner_of(path) for path in (sudo / "runs", *(sudo / "runs").rglob("*"))} == {CALLER}


@needs_root
@pytest.mark.parametrize("whose", [ROOT, OTHER, CALLER], ids=["root", "another", "caller"])
def test_what_a_resumed_run_gets_is_given_only_where_it_is_the_callers(sudo: Path, whose: tuple[int, int]) -> None:
    assert run_command.run("plan.toml") == 0
    made = (sudo / "runs" / "latest").resolve()
    for path in (made, *made.rglob("*")):
        os.chown(path, *whose)
    shutil.rmtree(made / "trials" / "1")
    (made / "trials" / "1.open").mkdir()
    assert run_command.run(resume_="-1") == 0
    assert owner_of(made / "trials" / "1") == (CALLER if whose == CALLER else ROOT)
    assert {owner_of(path) for path in (made, made / "manifest.json", made / "plan.toml")} == {whose}


REACHING = [
    {"lab": {"qemu_program": "/tmp/x"}},
    {"cloud": {"name": "x"}},
    {"cloud": {"hosts": {"a": "qemu:///system"}}},
    {"cloud": {"origin": "203.0.113.7"}},
]


@needs_root
@pytest.mark.parametrize("parts", REACHING, ids=str)
@pytest.mark.parametrize("whose", ["folder", "plan", "everybody's"])
def test_root_goes_on_with_nobody_elses_run_that_names_what_root_would_run(
    run: Path, parts: dict[str, object], whose: str
) -> None:
    plan = Plan.model_validate(parts)
    (run / "plan.toml").write_text("")
    need_ours(run, plan, SUDO)
    with pytest.raises(UsageProblem, match="whoever wrote that would be root"):
        need_ours(run, plan, {})
    match whose:
        case "folder":
            os.chown(run, *OTHER)
        case "plan":
            os.chown(run / "plan.toml", *OTHER)
        case _:
            run.chmod(0o777)
    with pytest.raises(UsageProblem, match=next(iter(parts))):
        need_ours(run, plan, SUDO)
    need_ours(run, Plan(), SUDO)


@needs_root
@pytest.mark.parametrize("number", ["", "x", "-1", "1" * 5000, "²"])
def test_a_caller_that_is_no_number_is_none(run: Path, number: str) -> None:
    hand_over(run / "manifest.json", environment={"SUDO_UID": number, "SUDO_GID": "1"})
    assert owner_of(run / "manifest.json") == ROOT
