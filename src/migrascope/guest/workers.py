"""Processes beside the agent: stress and the ledger, each with a page of its own that says how far it is.

Runs in the guest, on python3-minimal.
"""

import os
import signal
import sys
import time
from collections.abc import Callable

from migrascope.guest.steps import Steps

FOLDER = "/run/migrascope"
LIBRARY = "/usr/lib/migrascope"
_STATUS_BYTES = 256


class Status:
    """A worker's own page: what it does, how much it has done, when it said so (guest's monotonic clock), CPU time."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)

    def write(self, state: str, done: int = 0, operations: int = 0, reason: str = "") -> None:
        """state: preparing, running or failed. done: bytes."""
        line = f"{state} {done} {operations} {time.monotonic():.6f} {time.process_time():.3f} {reason}"
        os.pwrite(self._file, line[:_STATUS_BYTES].ljust(_STATUS_BYTES).encode("ascii", "replace"), 0)


def read_status(path: str) -> dict[str, object]:
    """What a worker last said. One that has not begun to run is preparing."""
    try:
        with open(path, encoding="ascii") as file:
            state, done, operations, at, cpu, reason = file.read().split(" ", 5)
    except (OSError, ValueError):
        return {"state": "preparing", "bytes": 0, "operations": 0, "guest_s": 0.0, "cpu_s": 0.0, "reason": ""}
    return {
        "state": state, "bytes": int(done), "operations": int(operations), "guest_s": float(at), "cpu_s": float(cpu),
        "reason": reason.strip(),
    }  # fmt: skip


def work(run: Callable[[Status, dict[str, str]], None]) -> None:
    """The life of a worker: argv holds its page's path and its options as name=value; run never returns.

    What is wrong with an option or with the machine is said on its page.
    """
    status = Status(sys.argv[1])
    try:
        run(status, dict(word.split("=", 1) for word in sys.argv[2:]))
    except (KeyError, ValueError, OSError, MemoryError) as error:
        status.write("failed", reason=f"{type(error).__name__}: {error}")


class Workers:
    """The processes of one kind of work. They die with a KILL: what they did must need no tidying up."""

    def __init__(self, module: str, folder: str = FOLDER, library: str = LIBRARY) -> None:
        self.module, self.folder, self.library = module, folder, library
        self.running: dict[int, tuple[int, str]] = {}
        self._started = 0

    def _path(self, number: int) -> str:
        return f"{self.folder}/{self.module}-{number}"

    def start(self, words: list[str]) -> Steps:
        """Starts a process that works as the words say; workers=N among them starts N. The answer names them."""
        count = next((word[8:] for word in words if word.startswith("workers=")), "1")
        if not count.isdigit():
            yield 404, {"error": f"no workers={count}"}
            return
        numbers = []
        for _ in range(int(count)):
            self._started += 1
            number = self._started
            modules = f"from migrascope.guest import workers, {self.module}"
            code = f"import sys; sys.path.insert(0, {self.library!r}); {modules}; workers.work({self.module}.run)"
            argv = ["python3", "-I", "-S", "-c", code, self._path(number), *words]
            actions = [(os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0)]
            pid = os.posix_spawn("/usr/bin/python3", argv, {"PATH": "/usr/sbin:/usr/bin"}, file_actions=actions)
            self.running[number] = (pid, " ".join(words))
            numbers.append(number)
        yield 200, {"started": numbers}

    def stop(self) -> Steps:
        """Kills all of them and answers when they are gone: one that waits for its disk may take a while."""
        stopped = list(self.running)
        for pid, _ in self.running.values():
            os.kill(pid, signal.SIGKILL)
        while self.running:
            for number, (pid, _) in list(self.running.items()):
                if os.waitpid(pid, os.WNOHANG)[0]:
                    self._forget(number)
            yield None
        yield 200, {"stopped": stopped}

    def _forget(self, number: int) -> None:
        self.running.pop(number, None)
        if os.path.exists(self._path(number)):
            os.unlink(self._path(number))

    def report(self) -> Steps:
        """What each of them says; one that has ended by itself has failed."""
        entries: list[object] = []
        for number, (pid, words) in self.running.items():
            status = read_status(self._path(number))
            if status["state"] != "failed" and _ended(pid):
                status |= {"state": "failed", "reason": "the process has ended"}
            entries.append({"worker": number, "work": words, **status})
        yield 200, {"workers": entries}


def _ended(pid: int) -> bool:
    """Whether a child of ours has ended, without reaping it."""
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
