"""The modelled player beside Chromium's: the same media, the same outage, how long each stands still."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from recorded import Row, Running, program, rows

from browser.held import NS, Held, make_media
from migrascope.metrics.browser import PACE_RATIO, Still, pace, stills
from migrascope.metrics.player import Lateness, Viewer
from migrascope.model.tables import CONSTANTS
from migrascope.node.wait import wait_until
from migrascope.store.recording import polars_schema
from migrascope.workload import browser, viewer
from needs import need_lab

pytestmark = pytest.mark.browser
OUTAGES_S = (0.3, 1.0, 3.0, 8.0, 12.0)
QUICK = {("live", 0.3), ("live", 3.0), ("live", 12.0), ("stored", 12.0), ("mp4", 1.0), ("mp4", 8.0)}
"""What is not left to the soak tier: a stall and none of each player."""
AGREE_S = 0.5
SETTLED_S = 3.0
LIMIT_S = 60.0
FORMS = {
    "live": {"kind": "hls", "path": "/live/index.m3u8", "live": True},
    "stored": {"kind": "hls", "path": "/video/hls/index.m3u8", "live": False},
    "mp4": {"kind": "mp4", "path": "/video/video.mp4", "live": False},
}


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need_lab()
    folder = tmp_path_factory.mktemp("media")
    asyncio.run(make_media(folder))
    return folder


async def becomes(condition: Callable[[], bool], what: str) -> None:
    async def now() -> bool:
        return condition()

    await wait_until(now, LIMIT_S, what, 0.1)


def frame(folder: Path, table: str, source: str) -> pl.DataFrame:
    """What a program has recorded, as metrics read it."""
    told = [(*row.values(), *[""] * len(CONSTANTS)) for row in rows(folder, table, source)]
    return pl.DataFrame(told, schema=polars_schema(table), orient="row")


def samples(folder: Path) -> list[Row]:
    return rows(folder, "browser", "browser")


def went_on(folder: Path, after_ns: int) -> bool:
    """Whether both got over the outage: the model asked for more, and the browser's video played a second more."""
    asked = [row for row in rows(folder, "segment", "viewer-1") if row["asked_ns"] > after_ns and row["done_ns"]]
    later = [row["media_s"] for row in samples(folder) if row["mono_ns"] > after_ns]
    return bool(asked and later) and later[-1] > later[0] + 1.0


GRID = [
    pytest.param(form, outage_s, marks=() if (form, outage_s) in QUICK else pytest.mark.soak)
    for form in FORMS
    for outage_s in OUTAGES_S
]


@pytest.mark.parametrize(("form", "outage_s"), GRID)
async def test_the_model_stands_still_as_long_as_chromium(
    media: Path, tmp_path: Path, form: str, outage_s: float
) -> None:
    chosen, held = dict(FORMS[form]), Held(media)
    async with held.served() as url:
        modelled = program(tmp_path, "viewer-1", url=f"{url}{chosen.pop('path')}", **chosen)
        shown = program(tmp_path, "browser", url=f"{url}/model/{form}")
        async with Running(viewer.main, modelled), Running(browser.main, shown):
            await becomes(lambda: any(row["media_s"] > SETTLED_S for row in samples(tmp_path)), "the video plays")
            held.hold(outage_s)
            await becomes(lambda: held.over and went_on(tmp_path, held.until_ns), "both players go on")
    segments = frame(tmp_path, "segment", "viewer-1")
    begun = int(segments["asked_ns"].to_numpy().min())
    seen = Viewer.of(segments, frame(tmp_path, "arrival", "viewer-1"))
    # the request at which the hold began was asked for a little earlier
    late = seen.lateness_s((begun, held.from_ns - NS // 4), (held.from_ns, held.until_ns + NS))
    assert isinstance(late, Lateness)
    told, still = frame(tmp_path, "browser", "browser"), stills(frame(tmp_path, "browser_event", "browser"))
    paced = pace(told.filter(pl.col("media_s") > 0), still)
    assert paced is not None
    ahead = _ahead(told, held)
    by_model, by_events, by_time = late.stall_s(ahead), _stood(still, held), _lost(told, held)
    if (
        paced < PACE_RATIO
    ):  # it starves: what it holds lasts longer, so that its stall reads too short, and it is warned
        assert by_events <= by_model + AGREE_S, (late, ahead, still)
        return
    assert max(0.0, outage_s - ahead) == pytest.approx(by_model, abs=AGREE_S), (late, ahead)
    assert by_model == pytest.approx(by_events, abs=AGREE_S), (late, ahead, still)
    assert by_model == pytest.approx(by_time, abs=AGREE_S), (late, ahead, still)


def _stood(found: list[Still], held: Held) -> float:
    """s for which the browser's video stood still because of the hold, by its events."""
    return sum(
        (still.until_ns - still.since_ns) / NS
        for still in found
        if still.until_ns is not None and still.touches((held.from_ns, held.until_ns))
    )


def _lost(told: pl.DataFrame, held: Held) -> float:
    """The same by its currentTime: s from the hold to the end, less what it played in them."""
    seen = told.filter(pl.col("mono_ns") >= held.from_ns)
    return float((seen["mono_ns"][-1] - seen["mono_ns"][0]) / NS - (seen["media_s"][-1] - seen["media_s"][0]))


def _ahead(told: pl.DataFrame, held: Held) -> float:
    """How much it had to play when the hold began, s: with what was on its way then, and so came during the hold."""
    seen = told.filter(pl.col("mono_ns").is_between(held.from_ns, held.until_ns))
    return float((seen["media_s"] + seen["ahead_s"]).max() - seen["media_s"][0])


@pytest.mark.parametrize("scenario", ["offline", "relay"])
async def test_chromium_plays_the_lab_s_page_by_itself(media: Path, tmp_path: Path, scenario: str) -> None:
    async with Held(media).served() as url:
        shown = program(tmp_path, "browser", url=f"{url}/{scenario}.html")
        async with Running(browser.main, shown):
            await becomes(lambda: any(row["media_s"] > 2.0 for row in samples(tmp_path)), "the video plays")
            await becomes(lambda: len(rows(tmp_path, "process_cpu", "browser")) >= 2, "its CPU time is counted")
    assert all(row["ahead_s"] >= 0 for row in samples(tmp_path))
    used = [row["cpu_s"] for row in rows(tmp_path, "process_cpu", "browser")]
    assert 0 < used[0] < used[-1]
    assert not [row for row in rows(tmp_path, "browser_event", "browser") if row["event"] in ("error", "unplayable")]
