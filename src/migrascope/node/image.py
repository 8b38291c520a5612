"""Root images: directories with a Debian in them, built once by mmdebstrap, kept by the hash of what they are of."""

import asyncio
import contextlib
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from migrascope.model.problem import Problem
from migrascope.node import process
from migrascope.node.lock import free, locked
from migrascope.node.paths import CACHE
from migrascope.node.superseded import UNUSED_DAYS, lock_of, remove_superseded, used
from migrascope.store.removal import NotRemoved, remove_tree

IMAGES = CACHE / "images"
Say = Callable[[str], None]
Run = Callable[[Sequence[str], Path], Awaitable[int]]

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# Nobody reads manuals or translations in these roots; the hook empties what dpkg's filter came too late for.
_EXCLUDE = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*", "/usr/share/info/*", "/usr/share/lintian/*")
_CLEAN = (
    'rm -rf "$1"/usr/share/man/* "$1"/usr/share/doc/* "$1"/usr/share/locale/* "$1"/usr/share/info/*'
    ' "$1"/var/cache/*/* "$1"/var/log/*.log "$1"/var/lib/apt/lists/*'
)

_INHERITED = (
    *("PATH", "HOME", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"),
)
"""What a build has of this process's environment. Packages' scripts run in it: one of Python's variables would have the
bytecode of all packages written where no program of the root looks for it, or nowhere."""


class ImageError(Problem):
    """An image that cannot be built; the message names what failed, why, and the next command."""


@dataclass(frozen=True)
class Recipe:
    """What a root image is built from. Everything here is part of its hash.

    packages are installed without recommended ones. unpacked are packages whose first dependency is laid into the
    root without being configured (a kernel needs none of what it depends on). exclude are path patterns that dpkg
    leaves out. folders are created empty. commands run in a shell with the root as $1. wanted_bytes is the space
    that a build takes.
    """

    name: str
    suite: str
    packages: tuple[str, ...]
    unpacked: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    wanted_bytes: int = 10**9

    def arguments(self) -> list[str]:
        """mmdebstrap's options, without target and mirror."""
        options = [
            "--mode=root",
            "--variant=apt",
            "--include=" + ",".join(self.packages),
            '--aptopt=APT::Install-Recommends "false"',
            '--aptopt=Acquire::Languages "none"',
            '--aptopt=Acquire::Retries "3"',
            "--dpkgopt=force-unsafe-io",
            *(f"--dpkgopt=path-exclude={pattern}" for pattern in (*_EXCLUDE, *self.exclude)),
        ]
        hooks = [*(_unpack(package) for package in self.unpacked), *self.commands, _CLEAN]
        return options + [f"--customize-hook={hook}" for hook in hooks]

    def digest(self) -> str:
        """The hash of everything that the image is built from."""
        return digest(json.dumps([asdict(self), self.arguments(), _INHERITED]).encode())


def _unpack(package: str) -> str:
    return (
        'set -e; export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"; folder=$(mktemp -d "$1/tmp/unpack.XXXX");'
        f" real=$(apt-cache show {package} | sed -n 's/^Depends: \\([^ ,]*\\).*/\\1/p' | head -n 1);"
        ' cd "$folder"; apt-get -o APT::Sandbox::User=root download --quiet "$real";'
        ' for deb in *.deb; do dpkg-deb -x "$deb" "$1"; done; cd /; rm -rf "$folder"'
    )


def digest(*parts: bytes) -> str:
    """A name for content: 16 hexadecimal digits of the SHA-256 of the parts and their lengths."""
    total = hashlib.sha256()
    for part in parts:
        total.update(len(part).to_bytes(8, "big") + part)
    return total.hexdigest()[:16]


def mirror(etc: Path = Path("/etc")) -> str | None:
    """The archive that apt uses on a Debian machine; None elsewhere, where mmdebstrap's own default is right."""
    with contextlib.suppress(OSError):
        if re.search(r'^ID="?debian"?$', (etc / "os-release").read_text(encoding="utf-8"), re.MULTILINE):
            for file in (etc / "apt/sources.list.d/debian.sources", etc / "apt/sources.list"):
                with contextlib.suppress(OSError):
                    text = file.read_text(encoding="utf-8")
                    for line in re.findall(r"^(?:URIs:|deb\s)(.*)$", text, re.MULTILINE):
                        uris = [word for word in line.split() if re.match("https?://", word) and "security" not in word]
                        if uris:
                            return str(uris[0])
    return None


async def root_image(
    recipe: Recipe,
    cache: Path = IMAGES,
    say: Say = lambda text: None,
    run: Run | None = None,
    meanwhile: Say = lambda text: None,
) -> Path:
    """The directory that holds the recipe's root, built now unless it is there. ImageError when that fails. say: takes
    the steps of a build; meanwhile: twice a second, how far it is.

    Cancelling ends the build and everything it started. Two may ask at once: the second waits for the first.
    """

    async def build(part: Path) -> None:
        log = part.with_suffix(".log")
        log.unlink(missing_ok=True)
        target = mirror()
        command = [
            "env", *(f"--unset={name}" for name in os.environ if name not in _INHERITED),
            "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
            "mmdebstrap", *recipe.arguments(), f"--keyring={KEYRING}", recipe.suite, str(part),
        ]  # fmt: skip
        code = await (run or _run_with(recipe.name, say, meanwhile))([*command, *([target] if target else [])], log)
        if code != 0:
            raise ImageError(
                f"the {recipe.name} image could not be built: mmdebstrap ended with {code}\n"
                f"{_complaints(log)}\n  its log: {log}\n"
                "  next: check that apt-get update works and that the disk has space, then try again"
            )
        # mmdebstrap empties /run after its hooks: only now is it safe to put a folder there.
        for folder in recipe.folders:
            (part / folder.lstrip("/")).mkdir(parents=True, exist_ok=True)

    if run is None:
        _needs()
    return await cached(recipe.name, recipe.digest(), build, cache, say, recipe.wanted_bytes)


def is_built(recipe: Recipe, cache: Path = IMAGES) -> bool:
    """Whether the cache has the recipe's root."""
    return (cache / f"{recipe.name}-{recipe.digest()}").exists()


def _complaints(log: Path) -> str:
    lines = process.tail(log, 400).splitlines()
    return "\n".join([line for line in lines if re.search("^(E|W):|error|No space", line)][-6:] or lines[-6:])


def _needs() -> None:
    if os.geteuid() != 0:
        raise ImageError("building images needs root: run the same command with sudo")
    missing = [program for program in ("mmdebstrap", "unshare") if shutil.which(program) is None]
    if missing or not KEYRING.exists():
        raise ImageError(
            f"{missing[0] if missing else KEYRING} is missing\n"
            "  next: apt-get install mmdebstrap util-linux debian-archive-keyring"
        )


def built_so_far(part: Path) -> str:
    """How far mmdebstrap is with a root, in words; empty before it has begun to download."""
    fetched = installed = 0
    with contextlib.suppress(OSError):
        fetched = sum(file.stat().st_size for file in (part / "var/cache/apt/archives").rglob("*.deb"))
    with contextlib.suppress(OSError):
        status = (part / "var/lib/dpkg/status").read_text(encoding="utf-8", errors="replace")
        installed = status.count("Status: install ok installed")
    facts = [f"{fetched / 1e6:.0f} MB of packages here"] if fetched else []
    return ", ".join([*facts, f"{installed} packages installed"] if installed else facts)


def _run_with(name: str, say: Say, meanwhile: Say) -> Run:
    async def run(argv: Sequence[str], log: Path) -> int:
        child = await process.start(name, argv, process.Where(), log)
        try:
            said = ""
            while True:
                with contextlib.suppress(TimeoutError):
                    return await child.wait(0.5)
                steps = [line[3:] for line in process.tail(log, 50).splitlines() if line.startswith("I: ")]
                if steps and steps[-1] != said and "hook" not in steps[-1]:
                    said = steps[-1]
                    say(f"{name} image: {said}")
                if far := built_so_far(log.with_suffix(".part")):
                    meanwhile(f"{name} image: {far}")
        finally:
            # Its death takes the PID namespace, and that the mounts, with it.
            await child.kill()

    return run


async def cached(
    name: str, key: str, build: Callable[[Path], Awaitable[None]], cache: Path, say: Say, wanted_bytes: int
) -> Path:
    """The directory `cache`/`name`-`key`, filled by `build` unless it is there; a failed build leaves none. One that is
    built supersedes others of its name."""
    final = cache / f"{name}-{key}"
    lock = lock_of(final)
    try:
        if final.exists():
            async with locked(lock, lambda holder: None, shared=True):
                used(final)
                if final.exists():
                    return final
        cache.mkdir(parents=True, exist_ok=True)
        async with locked(lock, lambda holder: say(f"{name} image: {holder} builds it, waiting")):
            used(final)
            if final.exists():
                return final
            part = final.with_suffix(".part")
            _remove_leftovers(cache, name, part)
            free = shutil.disk_usage(cache).free
            if free < wanted_bytes:
                raise ImageError(
                    f"the {name} image wants {wanted_bytes / 1e9:.1f} GB in {cache}, and {free / 1e9:.1f} GB are free\n"
                    f"  next: free some space there (df -h {cache})"
                )
            say(f"{name} image: building in {cache} (once, {wanted_bytes / 1e9:.1f} GB at most)")
            started = time.monotonic()
            try:
                await build(part)
            except BaseException:
                with contextlib.suppress(NotRemoved):  # the next build says it; why this one failed matters more
                    await asyncio.shield(asyncio.to_thread(remove_tree, part, cache))
                raise
            part.rename(final)
            say(f"{name} image: built in {time.monotonic() - started:.0f} s")
        if removed := await asyncio.to_thread(remove_superseded, cache):
            say(f"removed superseded images, unused for {UNUSED_DAYS} days: {', '.join(removed)}")
    except OSError as error:
        raise ImageError(f"the {name} image cannot be made in {cache}: {error}\n  next: ls -ld {cache}") from error
    return final


def _remove_leftovers(cache: Path, name: str, own: Path) -> None:
    """Removes what killed builds of this image left, also of other versions unless somebody builds them now. NotRemoved
    where one stays."""
    for part in cache.glob(f"{name}-*.part"):
        with free(lock_of(part)) as holder:
            if part == own or holder is None:
                remove_tree(part, cache)


async def roots(recipes: Sequence[Recipe], say: Say, meanwhile: Say) -> list[Path]:
    """The root image of each recipe, built side by side where the cache has none. meanwhile: takes how far all are."""
    far: dict[str, str] = {}

    def told(text: str, name: str) -> None:
        far[name] = text
        meanwhile("; ".join(far.values()))

    return await asyncio.gather(
        *(root_image(recipe, say=say, meanwhile=partial(told, name=recipe.name)) for recipe in recipes)
    )
