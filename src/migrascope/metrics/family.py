"""The second address family: the first one's figures over it, and how much longer the instance is gone over it."""

from migrascope.metrics import echo, http, network, sniffer, visitor
from migrascope.metrics.packets import Packets
from migrascope.metrics.stamp.measure import measure as stamp
from migrascope.metrics.windows import end_of, windows_of
from migrascope.model.family import FIRST, SECOND, key_of
from migrascope.model.measured import Measured, missing, summed
from migrascope.store.recording import Recording

COMPARED = ("network_blackout_s", "http_new_blackout_s", "http_kept_blackout_s")
DIFFERENCE = f"{SECOND}_difference"
_OF_THE_GUEST = "probe.clock_"
"""Its clock is one, whatever it is asked over."""
NOT_PLANNED = f'the plan measures IPv4 alone (families = ["{FIRST}"])'
_CUT_OFF = "the figure over IPv4 was cut off: how much more the one over IPv6 is has no lower bound"


def over_second(recording: Recording) -> dict[str, Measured]:
    """The figures of echo probes, STAMP, visits, visitors' flows and the capture over IPv6, each under its own key.
    Their windows are those of the same migration; *during* ends where the service has recovered over IPv6."""
    planned = SECOND in recording.trial.plan.get("families", [])
    view = recording.over(SECOND)
    packets = Packets.of(view, end_of(view))
    windows = windows_of(view, packets)
    found = {
        **network.measure(packets, windows),
        **sniffer.measure(view, windows),
        **http.measure(view, windows),
        **echo.measure(packets, windows),
        **visitor.measure(view, windows),
        **stamp(view, windows),
    }
    return {
        key_of(key): measured if planned else missing(measured.unit, measured.source, NOT_PLANNED)
        for key, measured in found.items()
        if not key.startswith(_OF_THE_GUEST)
    }


def differences(found: dict[str, Measured]) -> dict[str, Measured]:
    """How much longer the blackouts over IPv6 are than those over IPv4 in the same trial, negative where they are
    shorter. found: the figures over both."""
    return {key_of(key, DIFFERENCE): _difference(found[key_of(key)], found[key]) for key in COMPARED}


def _difference(second: Measured, first: Measured) -> Measured:
    if second.value is None or first.value is None:
        return missing("s", second.source, second.reason or f"over IPv4: {first.reason}")
    if first.at_least:
        return missing("s", second.source, _CUT_OFF)
    apart = Measured(second.value - first.value, "s", second.source, samples=1)
    return apart.within(**summed(second.errors, first.errors)).censored(second.at_least)
