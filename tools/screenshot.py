"""Draws docs/watch.png: the screen of `migrascope watch` of 80 columns and 24 lines, as it was in a trial of a run.

    .venv/bin/python tools/screenshot.py RUN [TRIAL [SECONDS]]

SECONDS: since the migration was asked for, 1.1 by default. TRIAL: the last one by default. The picture needs a font of
fixed width, such as Debian's fonts-dejavu-core.
"""

import asyncio
import re
import sys
from pathlib import Path

import vl_convert
from textual.pilot import Pilot

from migrascope.cli.screen import ReplayApp
from migrascope.model.clock import mono_ns
from migrascope.store.runfolder import RunFolder
from migrascope.study.observation.watch import Afterwards, Status

PICTURE = Path(__file__).parent.parent / "docs" / "watch.png"
SIZE = (80, 24)
STEP_NS = 50_000_000
"""So far the replay's clock goes between two looks, as it would for one who watches."""
_FONT_FACE = re.compile(r"@font-face \{.*?\}", re.DOTALL)


async def drawn(run: RunFolder, trial: int | None, seconds: float) -> str:
    """The screen as SVG, so many seconds after the migration was asked for."""
    clock = [mono_ns()]
    screen = ReplayApp(Afterwards(run, trial, now=lambda: clock[0]))
    async with screen.run_test(size=SIZE) as pilot:
        while not _there(await _looked(screen, pilot), seconds):
            clock[0] += STEP_NS
        return screen.export_screenshot(simplify=True)


async def _looked(screen: ReplayApp, pilot: Pilot[None]) -> Status:
    """What a new look shows."""
    before = screen.status
    screen.look()
    while screen.status is None or screen.status is before:
        if screen.problem is not None:
            raise screen.problem
        await pilot.pause(0.001)
    return screen.status


def _there(status: Status, seconds: float) -> bool:
    migration = status.view.migration if status.view is not None else None
    begun = migration is not None and (migration.at_s >= seconds or bool(migration.outcome))
    return (begun or status.over) and len(status.finished) == status.sealed


def main() -> None:
    if not 2 <= len(sys.argv) <= 4:
        sys.exit(__doc__)
    trial = int(sys.argv[2]) if len(sys.argv) > 2 else None
    seconds = float(sys.argv[3]) if len(sys.argv) > 3 else 1.1
    svg = asyncio.run(drawn(RunFolder(Path(sys.argv[1])), trial, seconds))
    # the fonts that the picture names lie on the network
    svg = _FONT_FACE.sub("", svg).replace("Fira Code", "DejaVu Sans Mono")
    PICTURE.write_bytes(vl_convert.svg_to_png(svg, scale=1.3))
    print(PICTURE)


if __name__ == "__main__":
    main()
