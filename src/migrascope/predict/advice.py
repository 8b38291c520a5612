"""Which way of migrating costs a guest the least, of what its user minds, and how it is set."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from migrascope.mechanism.copying import Course
from migrascope.mechanism.rules import Step
from migrascope.model.policy import BUILT_IN, Policy, whole_mib_s
from migrascope.predict.learnt import Predicts
from migrascope.predict.predictor import Figure, Prediction
from migrascope.predict.request import NotPredicted, Request, Settings
from migrascope.predict.texts import DASH, aligned, megabytes, ms, percent, prose, seconds

SCHEMA = 1

Mind = Literal["time", "blackout", "data", "guest-speed"]
MINDS: tuple[Mind, ...] = get_args(Mind)
LIMITS_S = (0.03, 0.1, 0.3, 0.5, 1.0)
"""Downtime limits that are tried."""
POLICIES = ("pre-copy", "auto-converge", "post-copy", "post-copy-preempt", "multifd")
SURE = 0.9
"""What ends with a smaller probability is advised only where nothing else ends with a larger one."""


@dataclass(frozen=True)
class Wish:
    """must_end_within_s: None for the request's own deadline. never_lose: no post-copy, in which a guest is lost if
    either host dies meanwhile."""

    mind: Mind = "blackout"
    must_end_within_s: float | None = None
    never_lose: bool = False


@dataclass(frozen=True)
class Option:
    """A way to migrate, and what it would cost: cost is of what is minded, in s, bytes, or s of the guest's work."""

    name: str
    policy: Policy
    limit_s: float
    prediction: Prediction
    cost: float


@dataclass(frozen=True)
class Advice:
    """options: all that were tried, the best first. refused: those of which nothing can be predicted, with the reason.
    regret: by how much, as a share, the best may cost more than another, with the intervals' level; None where there
    are none."""

    wish: Wish
    options: Sequence[Option]
    refused: Sequence[tuple[str, str]]
    regret: float | None

    @property
    def best(self) -> Option:
        return self.options[0]

    @property
    def of_each_policy(self) -> list[Option]:
        """The best limit of each policy, the best policy first."""
        shown: dict[str, Option] = {}
        for option in self.options:
            shown.setdefault(option.name, option)
        return list(shown.values())


def advised(request: Request, predictor: Predicts, wish: Wish) -> Advice:
    """Of all policies and limits that can be predicted. The guest, link and accelerator are the request's, and the
    bandwidth is, too. NotPredicted where that is none."""
    deadline_s = wish.must_end_within_s or request.settings.deadline_s
    bandwidth = 8 * (request.settings.bound_Bps or 0.0)
    options, refused = [], {}
    for name in POLICIES:
        policy = BUILT_IN[name].model_copy(update={"bandwidth": bandwidth})
        if wish.never_lose and policy.post_copy is not None:
            refused[name] = "the guest is lost if a host dies while it fetches pages"
            continue
        for limit_s in LIMITS_S:
            try:
                settings = Settings.of(policy, (Step(0.0, limit_s),), deadline_s)
                prediction = predictor.predict(replace(request, settings=settings))
            except NotPredicted as error:
                refused.setdefault(name, str(error))
                continue
            options.append(Option(name, policy, limit_s, prediction, cost(wish.mind, prediction, deadline_s)))
    if not options:
        raise NotPredicted(next(iter(refused.values())))
    options.sort(key=lambda option: preference(option.prediction, option.cost))
    return Advice(wish, options, sorted(refused.items()), _regret(wish.mind, options))


def preference(prediction: Prediction, cost: float) -> tuple[bool, float, float]:
    """The least is the best: those that surely end by their cost; of the rest those first that are likelier to end."""
    ends = prediction.ends
    return (False, cost, -ends) if _sure(prediction) else (True, -ends, cost)


def _sure(prediction: Prediction) -> bool:
    return prediction.course.ends and prediction.ends >= SURE


def cost(mind: Mind, prediction: Prediction, deadline_s: float) -> float:
    """What is to be expected, over all dirty rates with which it ends: where a limit is just not reached, the likeliest
    one alone would hide what a little less writing leads to. A migration that does not end takes until its deadline,
    and is asked for again."""
    courses = [course for course in prediction.courses if course.ends]
    if not prediction.course.ends or not courses:
        return float("inf")
    once = statistics.fmean(_once(mind, course) for course in courses)
    match mind:
        case "time":
            return once + (1 / prediction.ends - 1) * deadline_s
        case "data":
            return once / prediction.ends
        case "blackout" | "guest-speed":
            return once


def _once(mind: Mind, course: Course) -> float:
    """A migration that ends. Blackout: the pause, and in post-copy the most that the guest waits for pages.
    guest-speed: the work that it loses, in seconds of its processors, at most: as if it were held all the time as it is
    at last."""
    if course.time_s is None or course.pause_s is None:
        return float("inf")
    still_s = course.pause_s + course.waits_s
    match mind:
        case "time":
            return course.time_s
        case "blackout":
            return still_s
        case "data":
            return course.data_bytes
        case "guest-speed":
            return still_s + course.throttle * course.time_s


_FIGURES: dict[Mind, Figure] = {"time": "time_s", "blackout": "pause_s", "data": "data_bytes"}


def _regret(mind: Mind, options: Sequence[Option]) -> float | None:
    """At most: the best's cost at the upper end of its interval, beside the least at a lower end of any other that
    surely ends."""
    figure = _FIGURES.get(mind)
    ends = [option for option in options if _sure(option.prediction)]
    if figure is None or not ends or any(figure not in option.prediction.intervals for option in ends):
        return None

    def at(option: Option, *, high: bool) -> float:
        interval = option.prediction.intervals[figure]
        value = getattr(option.prediction.course, figure)
        return option.cost + (interval.high if high else interval.low) - float(value)

    others = [at(option, high=False) for option in ends[1:]]
    if not others:
        return 0.0
    least = min(others)
    return max(0.0, at(ends[0], high=True) / least - 1) if least > 0 else None


def settings_for(option: Option) -> dict[str, list[str]]:
    """How it is set: QEMU's monitor (HMP), libvirt's virsh, Nova's options; a sentence where something has no way."""
    policy, limit_ms = option.policy, round(1000 * option.limit_s)
    qemu = [f"migrate_set_parameter downtime-limit {limit_ms}"]
    flags, libvirt = ["--live"], [f"virsh migrate-setmaxdowntime DOMAIN {limit_ms}"]
    # the least steps: it begins with a third of the limit, and reaches it soonest
    nova = [
        f"live_migration_downtime = {max(100, limit_ms)}",
        "live_migration_downtime_steps = 3",
        "live_migration_downtime_delay = 3",
        f"live_migration_permit_auto_converge = {policy.auto_converge is not None}",
        f"live_migration_permit_post_copy = {policy.post_copy is not None}",
    ]
    if limit_ms < 100:
        nova.append(f"# Nova takes no limit below 100 ms; {limit_ms} ms is advised")
    if policy.bandwidth:
        rate, mib = round(policy.bandwidth / 8), whole_mib_s(policy.bandwidth)
        qemu += [f"migrate_set_parameter {name}-bandwidth {rate}B" for name in ("max", "max-postcopy")]
        flags.append(f"--bandwidth {mib}")
        flags += [f"--postcopy-bandwidth {mib}"] if policy.post_copy is not None else []
        nova.append(f"live_migration_bandwidth = {mib}")
    if policy.auto_converge is not None:
        qemu.append("migrate_set_capability auto-converge on")
        flags.append("--auto-converge")
    if policy.post_copy is not None:
        qemu.append("migrate_set_capability postcopy-ram on")
        flags += ["--postcopy", "--postcopy-after-precopy"]
        libvirt.append("# libvirt turns postcopy-preempt on by itself where QEMU has it")
        if policy.post_copy.preempt:
            qemu.append("migrate_set_capability postcopy-preempt on")
            nova.append("# Nova has no option for preempt")
    if policy.multifd is not None:
        channels = policy.multifd.channels
        qemu += ["migrate_set_capability multifd on", f"migrate_set_parameter multifd-channels {channels}"]
        flags += ["--parallel", "--parallel-connections", str(channels)]
        nova.append("# none for multifd is known here")
    return {
        "QEMU, on both sides where it is a capability": qemu,
        "libvirt": [*libvirt, f"virsh migrate {' '.join(flags)} DOMAIN URI"],
        "Nova, [libvirt] in nova.conf": nova,
    }


def lines(advice: Advice, based_on: str) -> list[str]:
    """What `advise` prints: the best of each policy, the advice, and how it is set."""
    rows = [["policy", "limit", "time", "pause", "waits", "data", "ends"]]
    rows += [_row(option) for option in advice.of_each_policy]
    said = aligned(rows)
    said += [line for name, why in advice.refused for line in prose(f"{name}: {why}")]
    return [*said, "", *prose(words(advice)), *settings_lines(advice), *prose(f"based on {based_on}")]


def words(advice: Advice) -> str:
    """What is advised, and how sure that is."""
    best = advice.best
    if advice.regret is None:
        regret = "how much more it may cost than another is not known"
    elif advice.regret <= 1:
        regret = f"it may cost {percent(advice.regret)} more than another, at most"
    else:
        regret = f"it may cost {advice.regret + 1:.3g} times what another does, at most"
    doubt = "" if _sure(best.prediction) else f"; nothing ends with {percent(SURE)}"
    return f"advice: {best.name} with a limit of {ms(best.limit_s)}, for {advice.wish.mind}; {regret}{doubt}"


def settings_lines(advice: Advice) -> list[str]:
    """How the best is set."""
    each = settings_for(advice.best).items()
    return [line for where, how in each for line in (f"  {where}:", *(f"    {text}" for text in how))]


def _row(option: Option) -> list[str]:
    course = option.prediction.course
    data = megabytes(course.data_bytes if course.ends else None)
    waits = f"up to {ms(course.waits_s)}" if course.waits_s else DASH
    return [
        option.name, ms(option.limit_s), seconds(course.time_s), ms(course.pause_s), waits, data,
        percent(option.prediction.ends),
    ]  # fmt: skip


def as_json(advice: Advice, based_on: str, trial: int | None) -> dict[str, Any]:
    """The public JSON of `advise`, in base units; a cost without bound is null."""
    options = [
        {
            "policy": option.name,
            "limit_s": option.limit_s,
            "cost": None if option.cost == float("inf") else option.cost,
            "predicted": option.prediction.as_json(),
        }
        for option in advice.options
    ]
    return {
        "schema": SCHEMA, "trial": trial, "based_on": based_on, "wish": vars(advice.wish), "options": options,
        "refused": dict(advice.refused), "regret": advice.regret, "settings": settings_for(advice.best),
    }  # fmt: skip
