"""The second address family: the first one's figures over it, and how much longer the instance is gone over it."""

from migrascope.metrics import blackout_steps, echo, http, network, player, sniffer, visitor
from migrascope.metrics.packets import Packets
from migrascope.metrics.stamp.measure import measure as stamp
from migrascope.metrics.windows import Windows, end_of, windows_of
from migrascope.model.family import NOT_PLANNED, SECOND, key_of
from migrascope.model.measured import Measured, missing, summed
from migrascope.store.recording import Recording

COMPARED = ("network_blackout_s", "http_new_blackout_s", "http_kept_blackout_s")
DIFFERENCE = f"{SECOND}_difference"
_OF_THE_GUEST = "probe.clock_"
"""Its clock is one, whatever it is asked over."""
_CUT_OFF = "the figure over IPv4 was cut off: how much more the one over IPv6 is has no lower bound"


def figures(recording: Recording, packets: Packets, windows: Windows) -> dict[str, Measured]:
    """The figures that each family has: of echo probes, STAMP, visits, viewers, visitors' flows and the capture."""
    return {
        **network.measure(packets, windows),
        **sniffer.measure(recording, windows),
        **http.measure(recording, windows),
        **echo.measure(packets, windows),
        **visitor.measure(recording, windows),
        **player.measure(recording, windows),
        **stamp(recording, windows),
    }


def over_second(recording: Recording, first: dict[str, Measured], pause: Measured) -> dict[str, Measured]:
    """The figures over IPv6, and the steps of its blackout, each under its own key. Their windows are those of the same
    migration; *during* ends where the service has recovered over IPv6. first: the same over IPv4, whose keys these are.
    pause: vm_pause_s."""
    if SECOND in recording.trial.plan.get("families", []):
        view = recording.over(SECOND)
        packets = Packets.of(view, end_of(view))
        windows = windows_of(view, packets)
        found = figures(view, packets, windows)
        found |= blackout_steps.measure(view, packets, windows, {**found, "vm_pause_s": pause})
    else:
        found = {key: missing(measured.unit, measured.source, NOT_PLANNED) for key, measured in first.items()}
    return {key_of(key): measured for key, measured in found.items() if not key.startswith(_OF_THE_GUEST)}


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
