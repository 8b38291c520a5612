"""Whether a QEMU can do what a plan's policies ask, before any instance boots."""

from collections.abc import Mapping
from pathlib import Path

from migrascope.lab.qemu import tls
from migrascope.lab.qemu.machine import Program, accelerator_argument
from migrascope.lab.qemu.monitor import Monitor, MonitorError
from migrascope.lab.qemu.settings import apply, settings_of
from migrascope.model.policy import Policy
from migrascope.model.problem import Problem
from migrascope.node.process import Process, ProcessError, Where, start
from migrascope.node.wait import wait_until

_LIMIT_S = 0.3


class PolicyRefused(Problem):
    """Policies that this QEMU cannot carry out; the message holds each with QEMU's words."""


async def need(policies: Mapping[str, Policy], program: Program, folder: Path) -> None:
    """PolicyRefused for policies whose settings a destination of this QEMU does not take.

    The destination is asked since it knows more: whether the kernel lets it fetch pages, which post-copy needs.
    """
    refused = []
    for name, policy in policies.items():
        try:
            await _try(name, policy, program, folder)
        except MonitorError as error:
            refused.append(f"{name}: {error}")
    if refused:
        words = "\n  ".join(refused)
        raise PolicyRefused(f"this QEMU cannot do all that the plan asks; change axes.policy:\n  {words}")


async def _try(name: str, policy: Policy, program: Program, folder: Path) -> None:
    socket = folder / "offer.control"
    argv = [program.path, "-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35", "-m", "64"]
    argv += ["-accel", accelerator_argument(program.accelerator, policy), "-incoming", "defer"]
    argv += ["-chardev", f"socket,id=control,path={socket},server=on,wait=off", "-mon", "chardev=control,mode=control"]
    process = await start(f"QEMU, to try {name}", argv, Where(None, program.root), folder / "offer.log")
    try:
        monitor = await _connected(process, socket)
        try:
            untouched = await monitor.execute("query-migrate-parameters")
            if policy.tls:
                await tls.show(monitor, folder, server=True)
            await apply(monitor, settings_of(policy, _LIMIT_S), untouched)
        finally:
            await monitor.close()
    finally:
        await process.kill()
        socket.unlink(missing_ok=True)


async def _connected(process: Process, socket: Path) -> Monitor:
    monitors: list[Monitor] = []

    async def connected() -> bool:
        if process.ended:
            raise ProcessError(process.problem())
        monitor = Monitor("this QEMU")
        try:
            await monitor.connect(socket)
        except MonitorError:
            return False
        monitors.append(monitor)
        return True

    await wait_until(connected, 10, f"{process.name} opens its monitor")
    return monitors[0]
