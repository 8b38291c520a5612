"""A viewer that is a browser: Chromium shows the website's page. Tables browser, browser_event and process_cpu.

Config: url (the page). It records when it plays: what the page's video does from then on, and what came before. A film
that has ended begins again. The page's own clock is set against ours once; its stamps are then moments of ours.
"""

import asyncio
import json
import time
from contextlib import AsyncExitStack
from pathlib import Path

from migrascope.node.program import Program
from migrascope.store.spool import Spool
from migrascope.workload.devtools import Devtools, DevtoolsError, Message, browser, chromium

PLAYS_S = 15.0
"""Maximum time until the video plays."""
CPU_EVERY_S = 0.25
_BINDING = "migrascope"
_SCRIPT = Path(__file__).with_suffix(".js")
_TRIES = 5
NS = 10**9


class Page:
    """What the page tells of its video, written down. begun: its script runs; playing: its video does."""

    def __init__(self, events: Spool, samples: Spool) -> None:
        self._events, self._samples = events, samples
        self._apart_ns: int | None = None
        self._early: list[str] = []
        self._unplayable = ""
        self.begun, self.playing = asyncio.Event(), asyncio.Event()

    def heard(self, message: Message) -> None:
        """Takes an event of the browser's."""
        if message["method"] == "Runtime.bindingCalled" and message["params"]["name"] == _BINDING:
            self._early.append(message["params"]["payload"])
            self._write()

    def set_clock(self, apart_ns: int, bound_ns: int) -> None:
        """Our clock minus the page's, and how far that may be off."""
        self._apart_ns = apart_ns
        self._events.add(time.monotonic_ns(), "clock", 0.0, 0, str(bound_ns))
        self._write()

    def trouble(self) -> str:
        """Why the video does not play, as far as the page said."""
        return self._unplayable or "the page told nothing of a video"

    def _write(self) -> None:
        told = [json.loads(payload) for payload in self._early]
        if told and told[0][1] == "begun":
            self.begun.set()
        if self._apart_ns is None:
            return
        self._early.clear()
        for at_ms, what, media_s, ready, *rest in told:
            at_ns = round(at_ms * 1e6) + self._apart_ns
            if what == "sample":
                self._samples.add(at_ns, media_s, ready, *rest)
                continue
            self._events.add(at_ns, what, media_s, ready, *rest)
            if what == "playing":
                self.playing.set()
            elif what in ("error", "unplayable"):
                self._unplayable = f"{what}: {rest[0]}"


async def show(devtools: Devtools, page: Page, url: str) -> None:
    """Opens the page, and waits until its video plays. DevtoolsError where it does not."""
    target = await devtools.ask("Target.createTarget", url="about:blank")
    attached = await devtools.ask("Target.attachToTarget", targetId=target["targetId"], flatten=True)
    session = attached["sessionId"]
    await devtools.ask("Page.enable", session)
    await devtools.ask("Runtime.enable", session)
    await devtools.ask("Runtime.addBinding", session, name=_BINDING)
    script = _SCRIPT.read_text(encoding="utf-8")
    await devtools.ask("Page.addScriptToEvaluateOnNewDocument", session, source=script)
    opened = await devtools.ask("Page.navigate", session, url=url)
    if words := opened.get("errorText"):
        raise DevtoolsError(f"{url}: {words}")
    try:
        async with asyncio.timeout(PLAYS_S):
            await page.begun.wait()
            page.set_clock(*await _apart(devtools, session))
            await page.playing.wait()
    except TimeoutError:
        raise DevtoolsError(f"{url}: no video plays within {PLAYS_S:g} s; {page.trouble()}") from None


async def _apart(devtools: Devtools, session: str) -> tuple[int, int]:
    """(our clock minus the page's, how far that may be off), ns: by the quickest of some answers."""
    found = []
    for _ in range(_TRIES):
        before = time.monotonic_ns()
        told = await devtools.ask("Runtime.evaluate", session, expression="performance.now()", returnByValue=True)
        half = (time.monotonic_ns() - before) // 2
        found.append((half, before + half - round(told["result"]["value"] * 1e6)))
    bound, apart = min(found)
    return apart, bound


async def count_cpu(program: Program, devtools: Devtools, spool: Spool) -> None:
    """The CPU time of all of the browser's processes together, those that have ended too."""
    used: dict[int, float] = {}
    async for _ in program.grid(CPU_EVERY_S, drain=False):
        told = await devtools.ask("SystemInfo.getProcessInfo")
        now = time.monotonic_ns()
        used |= {process["id"]: process["cpuTime"] for process in told["processInfo"]}
        spool.add(now, "chromium", sum(used.values()), 0)


async def main(program: Program) -> None:
    path = chromium()
    if path is None:
        raise DevtoolsError("there is no Chromium here\n  next: apt-get install chromium")
    async with AsyncExitStack() as stack:
        events, samples, cpu = (
            stack.enter_context(program.spool(table)) for table in ("browser_event", "browser", "process_cpu")
        )
        page = Page(events, samples)
        devtools = await stack.enter_async_context(browser(path, page.heard))
        listening = asyncio.create_task(devtools.listen())
        stack.callback(listening.cancel)
        watching = asyncio.create_task(_watch(program, devtools, page, cpu))
        stack.callback(watching.cancel)
        await asyncio.wait((listening, watching), return_when=asyncio.FIRST_COMPLETED)
        await (watching if watching.done() else listening)


async def _watch(program: Program, devtools: Devtools, page: Page, cpu: Spool) -> None:
    await show(devtools, page, program.config["url"])
    program.ready()
    await count_cpu(program, devtools, cpu)


if __name__ == "__main__":
    Program.from_argv().run(main)
