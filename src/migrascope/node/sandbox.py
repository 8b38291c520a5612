"""The start of every process of a lab: enter its network namespace and root, tie its life to ours, exec.

Run as a script by node.process with one JSON argument; standard library only, since it runs before everything. An
argument is in everybody's sight: an environment that may hold passwords is never in it.
"""

import ctypes
import json
import os
import signal
import sys
from collections.abc import Callable

CLONE_NEWNS = 0x00020000
CLONE_NEWNET = 0x40000000
MS_REC, MS_PRIVATE, MS_BIND, MS_RDONLY, MS_REMOUNT = 0x4000, 0x40000, 0x1000, 0x1, 0x20
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, what: str) -> None:
    """OSError with the errno of the call that gave the result, unless that is 0."""
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def mount(source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
    """mount(2). OSError that names both paths where the kernel refuses."""
    encoded = kind.encode() if kind else None
    check(
        _libc.mount(source.encode(), target.encode(), encoded, flags, options.encode()), f"mount {source} on {target}"
    )


def unshare_mounts() -> None:
    """Gives this process mounts of its own: what it mounts from now on nobody else sees, and goes with it."""
    check(_libc.unshare(CLONE_NEWNS), "unshare")
    mount("none", "/", None, MS_REC | MS_PRIVATE)


def set_namespace(path: str) -> None:
    """Moves the calling thread into the network namespace at `path`. OSError when there is none."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        check(_libc.setns(handle, CLONE_NEWNET), f"enter {path}")
    finally:
        os.close(handle)


def die_with_parent(parent: int) -> None:
    """SIGKILL for this process as soon as its parent ends; ends at once if it has already."""
    check(_libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")
    if os.getppid() != parent:
        raise SystemExit(1)


def _enter_root(root: str, folders: dict[str, str]) -> None:
    """folders: of this machine, each with where it is seen in the root."""
    unshare_mounts()
    mount(root, root, None, MS_BIND)
    for folder, where in folders.items():
        mount(folder, root + where, None, MS_BIND | MS_REC)
    mount("tmpfs", root + "/tmp", "tmpfs", 0)
    mount(root, root, None, MS_REMOUNT | MS_BIND | MS_RDONLY)
    os.chroot(root)
    os.chdir("/")


def main() -> None:
    how = json.loads(sys.argv[1])
    die_with_parent(how["parent"])
    if how["namespace"]:
        set_namespace(how["namespace"])
    if how["root"]:
        _enter_root(how["root"], how["folders"])
    _exec(how["argv"], how["environment"] or dict(os.environ))


def _exec(argv: list[str], environment: dict[str, str]) -> None:
    # Not os.execvpe: it imports a module, and Python's library is out of sight by now.
    folders = [""] if "/" in argv[0] else [f"{folder}/" for folder in environment["PATH"].split(":")]
    for folder in folders:
        try:
            os.execve(folder + argv[0], argv, environment)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            sys.stderr.write(f"{argv[0]}: {error.strerror}\n")
            raise SystemExit(126) from error
    sys.stderr.write(f"{argv[0]}: no such program\n")
    raise SystemExit(127)


def ends_in_words(start: Callable[[], None]) -> None:
    """Becomes another program, or ends with 126 and the kernel's words, as a shell does."""
    try:
        start()
    except OSError as error:
        sys.stderr.write(f"migrascope: {error}\n")
        raise SystemExit(126) from error


if __name__ == "__main__":
    ends_in_words(main)
