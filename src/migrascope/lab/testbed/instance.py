"""An instance on the testbed: its migration can be disturbed, and what became of it is looked at."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from migrascope.cloud.client import CloudError
from migrascope.cloud.server import Server
from migrascope.lab.contract import Requested
from migrascope.lab.disturbable import Rescue, See
from migrascope.lab.libvirt.events import EventWatch
from migrascope.lab.offline import OfflineVolume
from migrascope.lab.openstack.instance import CloudInstance
from migrascope.lab.testbed import domains, taps
from migrascope.lab.testbed.control import TestbedControl
from migrascope.lab.testbed.disturbing import Aim, injector
from migrascope.lab.testbed.rescue import END, RESCUE_S, UNPLUG, Seen, agree, next_step, place_text
from migrascope.model.clock import mono_ns
from migrascope.model.disturbance import Disturbance
from migrascope.model.kinds.kind import Injector
from migrascope.model.postcheck import PostCheck
from migrascope.model.problem import Problem
from migrascope.node.wait import wait_until

_POLL_S = 1.0
_GONE_S = 120.0
_ACTIONS: dict[str, dict[str, Any]] = {
    "reset-state": {"os-resetState": {"state": "active"}},
    "start": {"os-start": None},
    "unpause": {"unpause": None},
    "hard reboot": {"reboot": {"type": "HARD"}},
}


class TestbedInstance(CloudInstance):
    """Made with the testbed's control, its host and a folder for logs beside what a CloudInstance is made with."""

    def __init__(self, *given: Any, persist: bool, control: TestbedControl, host: str, folder: Path) -> None:
        super().__init__(*given, persist=persist)
        self._control, self._host, self._folder = control, host, folder
        self._watch: EventWatch | None = None
        self._see: See | None = None

    def listen(self, see: See) -> None:
        """Tells every event of the source's QEMU, and when the API has accepted the request."""
        self._see = see
        source = self._access.hosts[self._host]
        self._watch = EventWatch(source.python, source.uri, self.made.server, see)
        self._watch.start()

    def injector(self, disturbance: Disturbance, destination: str) -> Injector:
        """What brings it about. Not for kinds that are steered through the guest."""
        server = Server(self._cloud.impatient(), self.made.server)
        aim = Aim(server, self._host, destination, self._folder, self._mac, self._fixed)
        return injector(disturbance, aim, self._control)

    async def migrate(self, destination: str, limit_s: float, requested: Requested) -> dict[str, Any]:
        if self._watch is not None:
            await self._watch.ready()
        return await super().migrate(destination, limit_s, requested)

    async def destroy(self) -> None:
        if self._watch is not None:
            await self._watch.close()
        await super().destroy()

    def accepted(self, at_ns: int) -> None:
        if self._see is not None:
            self._see("ACCEPTED", {}, at_ns)

    async def place(self, destination: str) -> PostCheck:
        """Where Nova says that it runs, and both libvirts; they must agree."""
        states = await domains.states(self._control.nodes, self.made.server)
        try:
            server = await self._shown()
        except CloudError as error:
            return PostCheck("unknown", f"{error}; {place_text('no answer', states)}")
        where, active = server.get("OS-EXT-SRV-ATTR:hypervisor_hostname"), server["status"] == "ACTIVE"
        words = place_text(f"{server['status']} on {where}", states)
        if not agree(where, active, states):
            return PostCheck("fail", f"{words}: they differ")
        return PostCheck("pass" if where == destination and active else "fail", words)

    async def rescue(self, answers: Callable[[], Awaitable[bool]]) -> Rescue:
        """Does what an operator would until the service answers and Nova calls its only copy active: for 3 min."""
        began = last = time.monotonic()
        steps: list[str] = []
        answered_s: float | None = 0.0 if await answers() else None
        found = (await self.place(self._host)).evidence
        steps += await self._control.repair()
        while time.monotonic() < began + RESCUE_S:
            alive = await answers()
            if alive and answered_s is None:
                answered_s = round(time.monotonic() - began, 1)
            try:
                seen = await self._seen()
                step = next_step(seen, alive, time.monotonic() - last, steps)
                if alive and step is None and seen.settled(time.monotonic() - last):
                    break
                if step is not None:
                    await self._do(step)
                    steps.append(step)
                    last = time.monotonic()
            except Problem as error:
                if (said := f"refused: {error}"[:200]) not in steps:
                    steps.append(said)
            await asyncio.sleep(_POLL_S)
        self._error = None
        return Rescue(found, steps, answered_s, mono_ns())

    async def offline(self) -> OfflineVolume:
        """Deletes the server, which ends it as a power cut would, and reads its volume."""
        await asyncio.to_thread(self._server.delete)

        async def gone() -> bool:
            return await asyncio.to_thread(self._server.is_gone)

        await wait_until(gone, _GONE_S, f"server {self.name} is deleted", _POLL_S)
        await self._end_rest()
        return await self._control.volume(self.made.volume)

    async def _end_rest(self) -> None:
        """Ends what of the server still runs although Nova has deleted it."""
        for host, state in (await domains.states(self._control.nodes, self.made.server)).items():
            if state not in (domains.NONE, domains.SILENT):
                await domains.end(self._control.nodes, host, self.made.server)

    async def _seen(self) -> Seen:
        states = await domains.states(self._control.nodes, self.made.server)
        plugged = await taps.hosts_with(self._control.nodes, self.made.server)
        server = await self._shown()
        status, task = server["status"], server.get("OS-EXT-STS:task_state")
        return Seen(status, task, server.get("OS-EXT-SRV-ATTR:hypervisor_hostname"), states, plugged)

    async def _do(self, step: str) -> None:
        if step.startswith(END):
            await domains.end(self._control.nodes, step.removeprefix(END), self.made.server)
        elif step.startswith(UNPLUG):
            await taps.unplug(self._control.nodes, step.removeprefix(UNPLUG), self.made.server)
        elif step in _ACTIONS:
            await asyncio.to_thread(self._server.act, _ACTIONS[step])
        else:
            for node in self._control.nodes.by_name.values():
                await node.run(["systemctl", "restart", "nova-compute.service"], timeout_s=120)
