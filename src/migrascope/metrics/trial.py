"""Every metric of one trial."""

from dataclasses import dataclass

from migrascope.metrics import (
    announced,
    blackout_steps,
    browser,
    budget,
    cpu,
    family,
    fleet,
    floating_ip,
    libvirt,
    link,
    load,
    migration,
    neighbours,
    openstack,
    outside,
    ovn,
    phases,
    quality,
    signs,
    steps,
    storage,
    wiring,
    writer,
)
from migrascope.metrics.packets import Packets
from migrascope.metrics.windows import Windows, end_of, windows_of
from migrascope.metrics.windows import measure as switchover
from migrascope.model.measured import Measured, missing
from migrascope.store.recording import Recording


@dataclass(frozen=True)
class Measurement:
    """What one recording says. warnings: sentences on how far it can be trusted. shown:
    what the blackout of a machine of others shows of it; None for every other recording."""

    metrics: dict[str, Measured]
    windows: Windows
    warnings: list[str]
    shown: signs.Shown | None = None


def measure(recording: Recording) -> dict[str, Measured]:
    """All metrics of a recording by key; what a failed or partial trial did not record is missing, with its reason."""
    return examine(recording).metrics


def examine(recording: Recording) -> Measurement:
    """The metrics of a recording with its windows and warnings."""
    packets = Packets.of(recording, end_of(recording))
    windows = windows_of(recording, packets)
    by_family = family.figures(recording, packets, windows)
    found = {
        **switchover(windows),
        **migration.measure(recording, windows),
        **by_family,
        **outside.measure(recording, packets, windows),
        **browser.measure(recording, windows),
        **link.measure(recording, windows),
        **libvirt.measure(recording),
        **phases.measure(recording, packets, windows),
        **openstack.measure(recording),
        **steps.measure(recording, windows),
        **wiring.measure(recording, windows),
        **floating_ip.measure(recording, windows),
        **ovn.measure(recording, windows),
        **announced.measure(recording, windows),
        **neighbours.measure(recording, windows),
        **writer.measure(recording, windows),
        **cpu.measure(recording, windows),
        **load.measure(recording, windows),
        **quality.measure(recording, packets, windows),
    }
    found |= storage.measure(recording, windows, found["data_transferred_bytes"])
    found |= budget.measure(found, packets, windows)
    steps_of_blackout = blackout_steps.measure(recording, packets, windows, found)
    found |= steps_of_blackout
    found |= family.over_second(recording, {**by_family, **steps_of_blackout}, found["vm_pause_s"])
    unsteady, exempt = load.unsteady_before(recording, packets, windows), load.declared(recording)
    found = load.without_spoiled(found, unsteady, exempt=exempt)
    found |= family.differences(found)
    if fleet.is_fleet(recording):
        own = {key: measured for key, measured in found.items() if key.startswith("quality.")}
        of_one = {key: missing(measured.unit, measured.source, fleet.ELSEWHERE) for key, measured in found.items()}
        return Measurement(of_one | own | fleet.measure(recording), windows, [])
    warnings = [
        *load.warnings(found, unsteady, exempt=exempt),
        *quality.warnings(found, packets, windows),
        *browser.warnings(recording, found),
        *link.warnings(found),
        *writer.warnings(recording, found),
    ]
    return Measurement(found, windows, warnings, signs.measure(recording, packets, windows))
