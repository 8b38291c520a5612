"""The origin of live video, alone in a namespace: whose process it is, where it listens, what it gives and to whom."""

import asyncio
import json
import os
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from migrascope.lab.host_image import HOST
from migrascope.node.image import root_image
from migrascope.node.link import take_up
from migrascope.node.namespace import Namespace
from migrascope.node.nobody import USER
from migrascope.node.wait import wait_until
from migrascope.trial.origin import origin

pytestmark = pytest.mark.lab
ADDRESS, OTHER = "10.9.8.1", "10.9.8.2"


@pytest.fixture
def space() -> Iterator[Namespace]:
    """A namespace with two addresses."""
    made = Namespace(f"ms-orig-{os.getpid()}")
    made.create()
    try:
        made.configure(lambda routes: take_up(routes, "lo", f"{ADDRESS}/32"))
        made.configure(lambda routes: take_up(routes, "lo", f"{OTHER}/32"))
        yield made
    finally:
        made.delete()


@pytest.fixture
def loop(tmp_path: Path) -> Path:
    """A stream that only root can read, as a cache that was built under a strict umask."""
    folder = tmp_path / "loop"
    folder.mkdir(mode=0o700)
    (folder / "seg0.ts").write_bytes(b"x" * 1000)
    (folder / "seg0.ts").chmod(0o600)
    (folder / "index.json").write_text(json.dumps({"segments": [{"file": "seg0.ts", "duration_s": 1.0}]}))
    return folder


def fetch(space: Namespace, path: str) -> tuple[int, bytes]:
    """Status and body of what the origin answers."""

    def ask() -> tuple[int, bytes]:
        try:
            with urllib.request.urlopen(f"http://{ADDRESS}{path}", timeout=10) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, b""

    return space.call(ask)


def servers(space: Namespace) -> list[Path]:
    """The folders in /proc of the nginx processes in a namespace."""
    inode = space.inode()
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if (path / "ns/net").stat().st_ino == inode and (path / "comm").read_text() == "nginx\n":
                found.append(path)
        except OSError:
            continue
    return found


def listens(space: Namespace, address: str) -> bool:
    def connect() -> bool:
        with socket.socket() as sock:
            return sock.connect_ex((address, 80)) == 0

    return space.call(connect)


async def test_it_is_nobodys_serves_the_stream_alone_and_only_where_it_is_stated(
    space: Namespace, loop: Path, tmp_path: Path
) -> None:
    root = await root_image(HOST)
    folder = tmp_path / "lab" / "origin"
    folder.parent.mkdir(mode=0o700)
    before = os.umask(0o077)
    try:
        async with origin(space, ADDRESS, root, loop, folder):
            await wait_until(lambda: _true(listens(space, ADDRESS)), 20, "nginx listens", 0.05)
            status, playlist = await asyncio.to_thread(fetch, space, "/live/index.m3u8")
            assert status == 200, (folder / "nginx.log").read_text()
            names = [line for line in playlist.decode().splitlines() if line.endswith(".ts")]
            assert await asyncio.to_thread(fetch, space, f"/live/{names[-1]}") == (200, b"x" * 1000)
            for path in ("/../nginx.conf", "/..%2fnginx.conf", "/nginx.conf", "/etc/passwd", "/live/", "/"):
                assert (await asyncio.to_thread(fetch, space, path))[0] >= 400, path
            assert not listens(space, OTHER)
            (server,) = servers(space)
            told = (line.partition(":") for line in (server / "status").read_text().splitlines())
            status_of = {key: value.split() for key, _, value in told}
            assert status_of["Uid"] == status_of["Gid"] == [str(USER)] * 4
            assert status_of["CapEff"] == [f"{1 << 10:016x}"]
            assert sorted(path.name for path in (server / "root" / "srv").iterdir()) == sorted(
                path.name for path in folder.iterdir()
            )
            assert not any((server / "root" / "var/lib/migrascope").iterdir())
            log = (folder / "nginx.log").read_text()
            assert not any(word in log for word in ("[warn]", "[alert]", "[emerg]", "[crit]")), log
        assert servers(space) == []
    finally:
        os.umask(before)


async def _true(value: bool) -> bool:
    return value


async def test_it_dies_with_who_started_it(space: Namespace, loop: Path, tmp_path: Path) -> None:
    """Also where that one is killed: the kernel's promise is kept though the user is another."""
    root = await root_image(HOST)
    code = (
        "import asyncio, sys; from pathlib import Path; from migrascope.node.namespace import Namespace;"
        "from migrascope.trial.origin import origin; a = sys.argv\n"
        "async def main():\n"
        "    async with origin(Namespace(a[1]), a[2], *map(Path, a[3:])):\n"
        "        await asyncio.sleep(600)\n"
        "asyncio.run(main())"
    )
    words = [space.name, ADDRESS, str(root), str(loop), str(tmp_path / "origin")]
    starter = await asyncio.create_subprocess_exec(sys.executable, "-c", code, *words)
    try:
        await wait_until(lambda: _true(bool(servers(space)) and listens(space, ADDRESS)), 20, "nginx listens", 0.05)
    finally:
        starter.kill()
    await starter.wait()
    await wait_until(lambda: _true(not servers(space)), 10, "nginx is gone", 0.05)
