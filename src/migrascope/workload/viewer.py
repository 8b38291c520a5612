"""A viewer of the page's video. Tables segment, arrival and tcp_info.

Config: kind ("hls" or "mp4"), url (playlist or file), live (HLS only). It asks as a standard player does that plays in
real time and whose buffer is full; a stored video begins again when it has ended, and its media time rises on.
"""

import asyncio
from contextlib import AsyncExitStack

from migrascope.node.program import Program
from migrascope.workload import hls, mp4
from migrascope.workload.flows import Flows, Lane
from migrascope.workload.player import Player


async def main(program: Program) -> None:
    kind, url = program.config["kind"], program.config["url"]
    watch = mp4.watch if kind == "mp4" else hls.watch_live if program.config["live"] else hls.watch_stored
    async with AsyncExitStack() as stack:
        flows = Flows(stack.enter_context(program.spool("tcp_info")))
        segments, arrivals = (stack.enter_context(program.spool(table)) for table in ("segment", "arrival"))
        lane = await stack.enter_async_context(Lane(flows, kind, kept=True))
        program.ready()
        async with asyncio.TaskGroup() as group:
            group.create_task(flows.watch(program))
            watching = group.create_task(watch(Player(program, lane, segments, arrivals), url))
            await program.ended()
            watching.cancel()


if __name__ == "__main__":
    Program.from_argv().run(main)
