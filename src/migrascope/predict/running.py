"""A guest that runs, predicted: each built-in policy as it costs the least, from what was sampled just before."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from migrascope.mechanism.rules import Step
from migrascope.mechanism.sampled import dirtied_at
from migrascope.model.policy import BUILT_IN
from migrascope.model.running import Running
from migrascope.model.units import human, number_of, rate_text
from migrascope.predict import advice
from migrascope.predict.advice import Advice, Option, settings_lines, words
from migrascope.predict.loosely import BOUNDED
from migrascope.predict.predictor import Figure, Prediction
from migrascope.predict.recorded import payload_Bps
from migrascope.predict.request import Guest, Request, Settings
from migrascope.predict.texts import FIGURE_TEXTS, TITLES, ends_text, figure_text, ms, named, percent, prose

_LIMIT_S = 0.3
_LOST = "with post-copy the guest is lost if a host or the link dies meanwhile"


def request_of(running: Running, link_bps: float, deadline_s: float, bandwidth_bps: float = 0.0) -> Request:
    """A plain pre-copy of it. link_bps: what the migration may take of the link; bandwidth_bps: of that, what it is let
    while the guest runs, 0 for all; deadline_s: when it is cancelled."""
    points = [dirtied_at(period_s, rate) for period_s, rate in sorted(running.rates.items())]
    guest = Guest.sampled(running.memory_bytes, running.held_bytes, points)
    policy = BUILT_IN["pre-copy"].model_copy(update={"bandwidth": bandwidth_bps})
    settings = Settings.of(policy, (Step(0.0, _LIMIT_S),), deadline_s)
    return Request(running.accelerator, guest, payload_Bps(link_bps), settings)


@dataclass(frozen=True)
class Answer:
    """What is said of a guest. link_bps: what the migration may take of the link; based_on: on what it rests, in
    words."""

    running: Running
    link_bps: float
    request: Request
    advice: Advice
    based_on: str


def _about(answer: Answer) -> list[str]:
    """What was found of the guest, and what is asked for."""
    running = answer.running
    periods, rates = ([str(each) for each in texts] for texts in (running.rates, running.rates.values()))
    memory, held = human(running.memory_bytes, "B"), human(running.held_bytes, "B")
    writes = f"{_listed(rates)} MiB/s become dirty, over {_listed(periods)} s"
    known = f", ±{percent(running.rate_error)}" if running.rate_error else ""
    if not any(running.rates.values()):
        writes = (
            f"less than 1 MiB/s becomes dirty, over {_listed(periods)} s, while it keeps {running.busy:.2f} processors "
            "busy: it is taken to write nothing"
        )
    guest = f"{memory}, {number_of('processor', running.vcpus)}, {running.accelerator.upper()}"
    return [
        *prose(f"{running.name} on {running.host}: {guest}; at most {held} of it hold something"),
        *prose(f"{writes}; by {running.pages} of its pages{known}"),
        *prose(f"{_link(answer)}; cancelled after {answer.request.settings.deadline_s:g} s"),
    ]


def _link(answer: Answer) -> str:
    link, request = f"link {rate_text(answer.link_bps)}", answer.request
    if request.sent_Bps() == request.link_Bps:
        return link
    return f"{link}, {rate_text(8 * request.sent_Bps())} of it while the guest runs"


def lines(answer: Answer, *, settings: bool = False) -> list[str]:
    """What `predict --hosts` prints; with how the best is set, what `advise --hosts` does."""
    found = answer.advice
    shown = found.of_each_policy
    names = [f"{option.name}, {ms(option.limit_s)}" for option in shown]
    table = named(names, [_figures(option) for option in shown])
    lost = [_LOST] if any(option.policy.post_copy is not None for option in shown) else []
    refused = [line for name, why in found.refused for line in prose(f"{name}: {why}")]
    whys = dict.fromkeys(why for option in shown for why in option.prediction.whys.values())
    intervals = prose(f"where there is no interval: {'; '.join(whys)}") if whys else []
    how = settings_lines(found) if settings else []
    based = prose(f"based on {answer.based_on}")
    return [*_about(answer), "", *table, *lost, *refused, "", *_advice(found), *how, *intervals, *based]


def _figures(option: Option) -> list[str]:
    course = option.prediction.course
    slowed = [f"slowed to {percent(1 - course.throttle)}"] if course.throttle else []
    waits = [f"waits up to {ms(course.waits_s)}"] if course.waits_s else []
    figures = [f"{title} {_text(option.prediction, figure)}" for figure, title in TITLES.items()]
    return [*figures, ends_text(option.prediction), *slowed, *waits]


def _text(prediction: Prediction, figure: Figure) -> str:
    """A figure, of one that is only bounded the bound."""
    interval = prediction.intervals.get(figure)
    if interval is None or figure not in BOUNDED:
        return figure_text(prediction, figure)
    return f"up to {FIGURE_TEXTS[figure](interval.high)}"


def _advice(found: Advice) -> list[str]:
    said, best = words(found), found.best
    if best.policy.post_copy is not None:
        safe = next((option for option in found.options if option.policy.post_copy is None), None)
        if safe is not None:
            said += (
                f"; if losing the guest is unacceptable: {safe.name} with a limit of {ms(safe.limit_s)}, "
                f"{percent(safe.prediction.ends)}"
            )
    return prose(said)


def _listed(texts: Sequence[str]) -> str:
    return f"{', '.join(texts[:-1])} and {texts[-1]}"


def as_json(answer: Answer) -> dict[str, Any]:
    """The public JSON of `predict` and `advise` of a running guest, in base units."""
    bound_Bps = answer.request.settings.bound_Bps
    bandwidth_bps = None if bound_Bps is None else 8 * bound_Bps
    guest = {"guest": answer.running.as_json(), "link_bps": answer.link_bps, "bandwidth_bps": bandwidth_bps}
    return advice.as_json(answer.advice, answer.based_on, None) | guest
