"""The start of every process of a lab: enter its network namespace and root, tie its life to ours, exec.

Run as a script by node.process with one JSON argument; standard library only, since it runs before everything.
"""

import ctypes
import json
import os
import signal
import sys

CLONE_NEWNS = 0x00020000
CLONE_NEWNET = 0x40000000
MS_REC, MS_PRIVATE, MS_BIND, MS_RDONLY, MS_REMOUNT = 0x4000, 0x40000, 0x1000, 0x1, 0x20
PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _mount(source: str, target: str, kind: str | None, flags: int) -> None:
    encoded = kind.encode() if kind else None
    _check(_libc.mount(source.encode(), target.encode(), encoded, flags, None), f"mount {source} on {target}")


def set_namespace(path: str) -> None:
    """Moves the calling thread into the network namespace at `path`. OSError when there is none."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(_libc.setns(handle, CLONE_NEWNET), f"enter {path}")
    finally:
        os.close(handle)


def die_with_parent(parent: int) -> None:
    """SIGKILL for this process as soon as its parent ends; ends at once if it has already."""
    _check(_libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")
    if os.getppid() != parent:
        raise SystemExit(1)


def _enter_root(root: str, folders: list[str]) -> None:
    _check(_libc.unshare(CLONE_NEWNS), "unshare")
    _mount("none", "/", None, MS_REC | MS_PRIVATE)
    _mount(root, root, None, MS_BIND)
    for folder in ("/dev", "/proc", "/sys", *folders):
        _mount(folder, root + folder, None, MS_BIND | MS_REC)
    _mount("tmpfs", root + "/tmp", "tmpfs", 0)
    _mount(root, root, None, MS_REMOUNT | MS_BIND | MS_RDONLY)
    os.chroot(root)
    os.chdir("/")


def main() -> None:
    how = json.loads(sys.argv[1])
    die_with_parent(how["parent"])
    if how["namespace"]:
        set_namespace(how["namespace"])
    if how["root"]:
        _enter_root(how["root"], how["folders"])
    _exec(how["argv"], how["environment"])


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


if __name__ == "__main__":
    try:
        main()
    except OSError as error:
        sys.stderr.write(f"migrascope: {error}\n")
        raise SystemExit(126) from error
