"""./migrascope from a checkout: from anywhere, quick once it is set up, and clear where it cannot set up."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from migrascope import __version__
from needs import need

ROOT = Path(__file__).parents[2]
TOOLS = ("sh", "dirname", "readlink", "sha256sum", "cat", "flock", "mktemp", "apt-get")


def call(program: Path, *arguments: str, path: str = os.environ["PATH"], cwd: Path = ROOT) -> tuple[int, str, str]:
    """(exit code, standard output, standard error)."""
    ended = subprocess.run(
        [program, *arguments],
        cwd=cwd,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return ended.returncode, ended.stdout, ended.stderr


@pytest.fixture
def set_up() -> None:
    need(list((ROOT / ".venv").glob("*.stamp")), "a checkout that ./migrascope or ./test has set up")


@pytest.mark.usefixtures("set_up")
def test_it_runs_from_any_folder_and_through_a_link_without_a_word(tmp_path: Path) -> None:
    (tmp_path / "migrascope").symlink_to(ROOT / "migrascope")
    (tmp_path / "json.py").write_text("raise SystemExit('a module of the folder it is called in')")
    assert call(tmp_path / "migrascope", "--version", cwd=tmp_path) == (0, f"{__version__}\n", "")


@pytest.mark.usefixtures("set_up")
def test_without_root_and_sudo_it_names_what_root_must_install(tmp_path: Path) -> None:
    for tool in TOOLS:
        found = shutil.which(tool)
        need(found, tool)
        (tmp_path / tool).symlink_to(str(found))
    nobody = tmp_path / "id"
    nobody.write_text("#!/bin/sh\necho 65534\n")
    nobody.chmod(0o755)
    code, said, problem = call(ROOT / "migrascope", "run", path=str(tmp_path))
    assert (code, said) == (4, "")
    assert "mmdebstrap" in problem
    assert "as root: apt-get install" in problem


def test_help_of_the_test_tiers() -> None:
    code, said, _ = call(ROOT / "test", "--help")
    assert code == 0
    assert all(tier in said for tier in ("--unit", "--soak"))
