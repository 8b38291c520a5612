"""`--metrics`: where dashboards find what is measured."""

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from migrascope.store.runfolder import RunFolder
    from migrascope.study.exposition.exposition import Exposition
    from migrascope.study.labs.labs import Progress

Metrics = Annotated[
    str | None,
    Parameter(name="--metrics", help="For Prometheus: into a file NAME.prom, or served at 127.0.0.1:9400."),
]


@contextlib.contextmanager
def exposing(metrics: str | None, say: Callable[[str], None]) -> "Iterator[Exposition | None]":
    """While the block runs, metrics are where the option says; nowhere without it. say: takes where that is, and what
    goes wrong. UsageProblem, Problem: before anything begins."""
    if metrics is None:
        yield None
        return
    from migrascope.study.exposition.exposition import exposed, place_of  # its library takes a tenth of a second

    place = place_of(metrics)
    with exposed(place, say) as exposition:
        say(f"metrics: {place}")
        yield exposition


def counted(progress: "Progress", exposition: "Exposition | None", before: "RunFolder | None" = None) -> "Progress":
    """The progress of a run, which becomes metrics where they are wanted. before: the run that is resumed, whose
    finished trials are counted first."""
    if exposition is None:
        return progress
    from migrascope.study.exposition.runs import RunMetrics

    counts = RunMetrics(progress, exposition.publish)
    for recording in before.recordings() if before is not None else ():
        counts.count(recording)
    return counts
