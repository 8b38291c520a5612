"""What a testbed refuses, by the command itself, on a machine that lacks something: before anything is changed."""

import http.server
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.machine import bound, foreign, sysctls, where
from migrascope.node import image
from migrascope.node.image import ImageError, Recipe, root_image
from migrascope.node.namespace import NETNS
from migrascope.node.paths import CACHE, STATE, TESTBEDS

pytestmark = pytest.mark.lab

NAME = f"refused{os.getpid()}"


def up(*mounts: list[str]) -> str:
    """What `testbed up` says, with code 4, where it sees these mounts, which nobody else does; nothing has changed."""
    before, settings = foreign(), sysctls()
    done = where(mounts, "testbed", "up", "--name", NAME)
    assert done.returncode == 4, done.stderr
    assert "Traceback" not in done.stderr
    assert list(TESTBEDS.glob(f"*{NAME}*")) + list(NETNS.glob(f"*{NAME}*")) == []
    assert foreign() == before
    assert sysctls() ^ settings == set()
    return done.stderr


def test_too_little_memory(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 4000000 kB\nMemAvailable: 1000000 kB\n")
    said = up(bound(tmp_path / "meminfo", Path("/proc/meminfo")))
    assert "memory: 1.02 GB available" in said
    assert "6.50 GB wanted for a testbed" in said
    assert "another testbed: migrascope testbed down" in said


def test_too_little_space() -> None:
    STATE.mkdir(parents=True, exist_ok=True)
    said = up(["mount", "-t", "tmpfs", "-o", "size=100m", "none", str(STATE)])
    assert f"free on {STATE}" in said


def test_no_overlayfs(tmp_path: Path) -> None:
    (tmp_path / "filesystems").write_text("nodev\ttmpfs\n\text4\n")
    (tmp_path / "modules").mkdir()
    mounts = [bound(tmp_path / "filesystems", Path("/proc/filesystems"))]
    if Path("/lib/modules").exists():
        mounts.append(bound(tmp_path / "modules", Path("/lib/modules")))
    assert "overlayfs: another kernel, or modprobe overlay" in up(*mounts)


def test_no_mirror_in_reach(tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    sources.mkdir()
    (sources / "debian.sources").write_text("Types: deb\nURIs: http://127.0.0.1:9/debian\nSuites: trixie\n")
    (tmp_path / "os-release").write_text("ID=debian\n")
    CACHE.mkdir(parents=True, exist_ok=True)
    said = up(
        bound(sources, Path("/etc/apt/sources.list.d")),
        bound(tmp_path / "os-release", Path("/etc/os-release")),
        ["mount", "-t", "tmpfs", "-o", "size=20g", "none", str(CACHE)],
    )
    assert "image could not be built" in said
    assert "127.0.0.1:9" in said
    assert "next: check that apt-get update works" in said


class Moved(http.server.BaseHTTPRequestHandler):
    """A mirror that has lost one package."""

    real = ""

    def do_GET(self) -> None:
        self.send_response(404 if "/less_" in self.path else 302)
        self.send_header("Location", self.real + self.path)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def mirror_without_less(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    Moved.real = (image.mirror() or "http://deb.debian.org/debian").rstrip("/")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Moved) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(image, "mirror", lambda: f"http://127.0.0.1:{server.server_port}")
        yield
        server.shutdown()


@pytest.mark.usefixtures("mirror_without_less")
async def test_a_package_that_has_moved(tmp_path: Path) -> None:
    recipe = Recipe(name="moved", suite="trixie", packages=("less",))
    with pytest.raises(ImageError, match=r"(?s)moved image could not be built.*/less_.*404"):
        await root_image(recipe, tmp_path)
    assert list(tmp_path.glob("moved-*.part")) == []
