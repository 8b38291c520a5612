"""Root images: their hash, and that a build that failed or was killed leaves nothing that is used."""

import asyncio
import os
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from migrascope.node.image import ImageError, Recipe, built_so_far, cached, digest, mirror, root_image

RECIPE = Recipe(name="tiny", suite="trixie", packages=("busybox",), folders=("/run/ours",), wanted_bytes=1)


class Builder:
    """Stands for mmdebstrap: makes the target's root, or fails as told."""

    def __init__(self, code: int = 0, words: str = "", release: asyncio.Event | None = None) -> None:
        self.code, self.words, self.release, self.calls = code, words, release, 0
        self.begun = asyncio.Event()
        self.argv: list[str] = []

    async def __call__(self, argv: Sequence[str], log: Path) -> int:
        self.calls += 1
        self.argv = list(argv)
        target = Path(next(word for word in argv if word.endswith(".part")))
        assert not target.exists()
        (target / "etc").mkdir(parents=True)
        log.write_text(self.words, encoding="utf-8")
        self.begun.set()
        if self.release is not None:
            await self.release.wait()
        return self.code


@pytest.mark.parametrize(
    "changed",
    [
        replace(RECIPE, packages=("busybox", "nginx")),
        replace(RECIPE, suite="forky"),
        replace(RECIPE, unpacked=("linux-image-cloud-amd64",)),
        replace(RECIPE, exclude=("/usr/share/games/*",)),
        replace(RECIPE, folders=()),
        replace(RECIPE, commands=("true",)),
    ],
)
def test_every_ingredient_changes_the_hash(changed: Recipe) -> None:
    assert changed.digest() != RECIPE.digest()
    assert replace(changed).digest() == changed.digest()


def test_the_hash_of_parts_knows_where_one_ends() -> None:
    assert digest(b"ab", b"c") != digest(b"a", b"bc")


async def test_an_image_is_built_once_and_has_its_folders(tmp_path: Path) -> None:
    builder = Builder()
    said: list[str] = []
    first = await root_image(RECIPE, tmp_path, said.append, builder)
    assert (first / "run/ours").is_dir()
    assert await root_image(RECIPE, tmp_path, run=builder) == first
    assert builder.calls == 1
    assert "building" in said[0]
    assert not list(tmp_path.glob("*.part"))


def test_a_build_inherits_no_variable_that_its_packages_would_heed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("https_proxy", "http://user:secret@proxy")
    builder = Builder()
    asyncio.run(root_image(RECIPE, tmp_path, run=builder))
    assert "secret" not in " ".join(builder.argv)
    shown = subprocess.run(
        [*builder.argv[: builder.argv.index("unshare")], "env"], capture_output=True, text=True, check=True
    )
    assert "https_proxy=http://user:secret@proxy" in shown.stdout.splitlines()
    assert "PYTHON" not in shown.stdout


async def test_a_failed_build_says_why_and_is_not_used(tmp_path: Path) -> None:
    log = "I: downloading packages with apt...\nE: Unable to locate package busybox\nSetting up x\n"
    with pytest.raises(ImageError) as caught:
        await root_image(RECIPE, tmp_path, run=Builder(25, log))
    words = str(caught.value)
    assert "the tiny image" in words
    assert "mmdebstrap ended with 25" in words
    assert "E: Unable to locate package busybox" in words
    assert "Setting up" not in words
    assert "next: " in words
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]
    assert (await root_image(RECIPE, tmp_path, run=Builder())).is_dir()


async def test_what_a_killed_build_left_is_removed_and_not_used(tmp_path: Path) -> None:
    own = tmp_path / f"tiny-{RECIPE.digest()}.part"
    other = tmp_path / "tiny-0123456789abcdef.part"
    for left in (own, other):
        (left / "half").mkdir(parents=True)
    root = await root_image(RECIPE, tmp_path, run=Builder())
    assert not (root / "half").exists()
    assert not own.exists()
    assert not other.exists()


async def test_a_cancelled_build_leaves_nothing(tmp_path: Path) -> None:
    builder = Builder(release=asyncio.Event())
    task = asyncio.create_task(root_image(RECIPE, tmp_path, run=builder))
    await builder.begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


async def test_the_second_of_two_waits_for_the_first(tmp_path: Path) -> None:
    builder = Builder(release=asyncio.Event())
    said: list[str] = []
    told = asyncio.Event()

    def say(text: str) -> None:
        said.append(text)
        told.set()

    first = asyncio.create_task(root_image(RECIPE, tmp_path, run=builder))
    second = asyncio.create_task(root_image(RECIPE, tmp_path, say, Builder(1, "must not run")))
    await told.wait()
    assert builder.release is not None
    builder.release.set()
    assert await first == await second
    assert said == [f"tiny image: process {os.getpid()} builds it, waiting"]
    assert builder.calls == 1


async def test_too_little_space_is_said_before_anything_is_built(tmp_path: Path) -> None:
    builder = Builder()
    with pytest.raises(ImageError, match=r"wants 1000000000\.0 GB in .* are free\n  next: "):
        await root_image(replace(RECIPE, wanted_bytes=10**18), tmp_path, run=builder)
    assert builder.calls == 0


async def test_a_cache_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")

    async def build(part: Path) -> None:
        part.mkdir()

    with pytest.raises(ImageError, match="the tiny image cannot be made in"):
        await cached("tiny", "key", build, tmp_path / "file" / "cache", lambda text: None, 0)


@pytest.mark.parametrize(
    ("name", "file", "text", "found"),
    [
        (
            "debian",
            "sources.list",
            "# deb http://no/\ndeb [arch=amd64] https://a/debian trixie main\n",
            "https://a/debian",
        ),
        ("debian", "sources.list.d/debian.sources", "Types: deb\nURIs: http://b/debian\n", "http://b/debian"),
        ("debian", "sources.list", "deb http://c/debian-security trixie-security main\n", None),
        ("debian", "sources.list", "deb cdrom:[Debian] trixie main\n", None),
        ("ubuntu", "sources.list", "deb http://d/ubuntu noble main\n", None),
    ],
)
def test_the_mirror_is_apts_own_on_debian_only(
    tmp_path: Path, name: str, file: str, text: str, found: str | None
) -> None:
    (tmp_path / "apt/sources.list.d").mkdir(parents=True)
    (tmp_path / "os-release").write_text(f'PRETTY_NAME="x"\nID={name}\n', encoding="utf-8")
    (tmp_path / "apt" / file).write_text(text, encoding="utf-8")
    assert mirror(tmp_path) == found


def test_a_build_says_how_far_it_is(tmp_path: Path) -> None:
    assert built_so_far(tmp_path) == ""
    archives, state = tmp_path / "var/cache/apt/archives", tmp_path / "var/lib/dpkg"
    for folder in (archives / "partial", state):
        folder.mkdir(parents=True)
    (archives / "nginx.deb").write_bytes(bytes(3_000_000))
    (archives / "partial/qemu.deb").write_bytes(bytes(1_000_000))
    assert built_so_far(tmp_path) == "4 MB of packages here"
    states = "installed", "unpacked", "installed"
    (state / "status").write_text(
        "\n".join(f"Package: p{at}\nStatus: install ok {text}\n" for at, text in enumerate(states))
    )
    assert built_so_far(tmp_path) == "4 MB of packages here, 2 packages installed"
