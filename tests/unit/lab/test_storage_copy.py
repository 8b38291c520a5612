"""The copy of a volume on the QEMU lab, by two QEMUs that are played."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from migrascope.lab.contract import MigrationFailed, NotConverged
from migrascope.lab.qemu import migration
from migrascope.lab.qemu.injectors.commands import Abort
from migrascope.lab.qemu.instance import Instance
from migrascope.lab.qemu.monitor import Monitor, MonitorError
from migrascope.lab.qemu.storage_copy import JOB, CopyFailed, StorageCopy
from migrascope.model.policy import Policy

See = Callable[[str, dict[str, Any], int], None]
BETWEEN = ("nbd-server-start", "block-export-add", "blockdev-add", "blockdev-mirror")
AT_THE_END = ("block-job-cancel", "job-dismiss", "blockdev-del", "nbd-server-stop", "migrate-continue")


class Qemus:
    """Two QEMUs between which a volume and a memory are copied, and what they were told, in its order.

    fails: QEMU's words for a copy that comes to nothing; stuck: a copy that never gets ready; late: one that fails
    while the memory is copied; refused: commands that get an error."""

    def __init__(self, fails: str = "", *, stuck: bool = False, late: str = "", refused: tuple[str, ...] = ()) -> None:
        self.told: list[str] = []
        self.given: dict[str, Any] = {}
        self.seeing: list[See] = []
        self.job: dict[str, Any] | None = None
        self.memory, self.begun = "none", asyncio.Event()
        self.fails, self.stuck, self.late, self.refused = fails, stuck, late, refused
        self.monitors = {host: cast(Monitor, _Played(self, host)) for host in ("host-a", "host-b")}

    def become(self, status: str, error: str = "") -> None:
        assert self.job is not None
        self.job |= {"status": status} | ({"error": error} if error else {})
        for see in self.seeing:
            see("JOB_STATUS_CHANGE", {"id": JOB, "status": status}, 0)

    def answer(self, host: str, command: str, given: dict[str, Any]) -> Any:
        self.told.append(command)
        self.given[command] = given
        if command in self.refused:
            raise MonitorError(f"{host}: {command}: no")
        match command:
            case "query-jobs":
                return [self.job] if self.job else []
            case "blockdev-mirror":
                self.job = {"id": JOB}
                self.become("running")
                self.begun.set()
                if not self.stuck:
                    asyncio.get_running_loop().call_soon(self._copied)
            case "block-job-cancel":
                if given.get("force"):
                    self.become("aborting", "Operation canceled")
                asyncio.get_running_loop().call_soon(self.become, "concluded")
            case "job-dismiss":
                assert self.job is not None
                assert self.job["status"] == "concluded"
                self.job = None
            case "migrate":
                self.memory = "active"
                if self.late:
                    self.become("concluded", self.late)
            case "query-migrate":
                return self._migrates()
            case "migrate-continue":
                self.memory = "completed"
            case "migrate_cancel":
                self.memory = "cancelled"
        return {}

    def _copied(self) -> None:
        self.become(*(("concluded", self.fails) if self.fails else ("ready",)))

    def _migrates(self) -> dict[str, Any]:
        said = self.memory
        if said == "active":
            self.memory = "pre-switchover"
        return {"status": said, "total-time": 7}

    def instance(self) -> Any:
        """The instance that they run."""

        async def state(host: str) -> dict[str, Any]:
            return {"status": "running", "running": True}

        processes = {host: SimpleNamespace(ended=False) for host in self.monitors}
        return SimpleNamespace(
            host="host-a", monitors=self.monitors, held=False, dead=lambda: None, state=state, processes=processes,
            copy=StorageCopy(self.monitors["host-a"], self.monitors["host-b"], "10.0.3.12", 0),
            topology=SimpleNamespace(stream_address=lambda host: "10.0.3.12"),
        )  # fmt: skip


class _Played:
    def __init__(self, qemus: Qemus, host: str) -> None:
        self._qemus, self.host = qemus, host

    async def execute(self, command: str, arguments: Any = None, timeout_s: float = 5.0, *, oob: bool = False) -> Any:
        return self._qemus.answer(self.host, command, arguments or {})

    def listen(self, see: See) -> None:
        self._qemus.seeing.append(see)


async def migrate(instance: Any, limit_s: float = 60.0) -> dict[str, Any]:
    moved = cast(Instance, instance)
    return await migration.migrate(moved, "host-b", Policy(), limit_s, 0.3, lambda: None, None)


def order(told: list[str], names: tuple[str, ...]) -> list[str]:
    return [name for name in told if name in names]


async def test_the_volume_comes_first_and_its_copy_ends_while_the_guest_stands_still() -> None:
    qemus = Qemus()
    instance = qemus.instance()
    await instance.copy.offer()
    await migrate(instance)
    assert instance.host == "host-b"
    steps = (*BETWEEN, "migrate", *AT_THE_END)
    assert order(qemus.told, steps) == list(steps)
    assert qemus.given["blockdev-mirror"] == {
        "job-id": JOB, "device": "volume", "target": "copy", "sync": "full", "auto-dismiss": False, "speed": 0
    }  # fmt: skip
    assert not qemus.given["block-job-cancel"].get("force")
    assert qemus.given["blockdev-add"]["server"] == {"type": "inet", "host": "10.0.3.12", "port": "10810"}


async def test_a_copy_that_fails_is_the_migration_s_failure_in_qemu_s_words() -> None:
    qemus = Qemus("No space left on device")
    instance = qemus.instance()
    with pytest.raises(MigrationFailed, match="copy of the volume failed on host-a: No space left on device"):
        await migrate(instance)
    assert "migrate" not in qemus.told
    await instance.copy.drop()
    assert qemus.job is None
    assert qemus.told[-1] == "blockdev-del"


async def test_a_copy_that_fails_later_cancels_the_memory_s() -> None:
    qemus = Qemus(late="Connection reset by peer")
    instance = qemus.instance()
    with pytest.raises(MigrationFailed, match="Connection reset by peer"):
        await migrate(instance)
    assert (qemus.memory, instance.host) == ("cancelled", "host-a")


async def test_a_switchover_at_which_the_copy_does_not_end_is_cancelled() -> None:
    qemus = Qemus(refused=("nbd-server-stop",))
    instance = qemus.instance()
    with pytest.raises(MigrationFailed, match="host-b: nbd-server-stop: no"):
        await migrate(instance)
    assert (qemus.memory, instance.host) == ("cancelled", "host-a")
    assert "migrate-continue" not in qemus.told


async def test_an_abort_before_the_memory_ends_the_copy() -> None:
    qemus = Qemus(stuck=True)
    instance = qemus.instance()
    moving = asyncio.create_task(migrate(instance))
    await qemus.begun.wait()
    assert instance.copy.under_way
    await Abort(cast(Instance, instance)).apply()
    with pytest.raises(MigrationFailed, match="Operation canceled"):
        await moving
    assert qemus.given["block-job-cancel"] == {"device": JOB, "force": True}
    assert order(qemus.told, ("migrate", "migrate_cancel")) == []
    assert not instance.copy.under_way


async def test_a_copy_that_takes_too_long_is_dropped() -> None:
    qemus = Qemus(stuck=True)
    instance = qemus.instance()
    with pytest.raises(NotConverged, match="still copying the volume after 0 s"):
        await migrate(instance, 0.0)
    await instance.copy.drop()
    assert qemus.job is None


async def test_a_copy_that_nobody_began_leaves_nothing_to_drop() -> None:
    qemus = Qemus(refused=("blockdev-add", "blockdev-del"))
    instance = qemus.instance()
    with pytest.raises(MigrationFailed, match="blockdev-add: no"):
        await migrate(instance)
    await instance.copy.drop()
    with pytest.raises(CopyFailed, match="knows nothing of it"):
        await instance.copy.check()
