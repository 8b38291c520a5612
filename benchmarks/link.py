"""What of the migration link a migration uses while RAM is copied, against iperf3 over the same link in the same run.

    sudo .venv/bin/python benchmarks/link.py [TRIALS]

A guest that holds 512 MiB of incompressible memory. Payload from the first MIGRATION_PASS to STOP. Goal: at least 0.97
of what iperf3 carries.
"""

import asyncio
import json
import sys

import numpy as np

from common import folder, machine, verdict, with_images
from migrascope.cli.progress import ConsoleProgress
from migrascope.lab.qemu.lab import QemuLab
from migrascope.lab.qemu.topology import address
from migrascope.metrics.trial import measure
from migrascope.model.axes import Axes
from migrascope.model.plan import Plan, Windows
from migrascope.model.schedule import schedule
from migrascope.model.visitors import Visitors
from migrascope.node.process import Where, run, running
from migrascope.store.runfolder import RunFolder
from migrascope.study.labs.images import Images
from migrascope.study.plans import text_of
from migrascope.study.runs.environment import manifest
from migrascope.trial.engine import TrialEngine

SECONDS = 3


def plan(trials: int) -> Plan:
    """Migrations of the same heavy guest, with nobody on its website."""
    return Plan(
        name="link",
        blocks=trials,
        axes=Axes(scenario=["none"], resident=["512MiB"]),
        windows=Windows(before="1s"),
        visitors=Visitors(new_rate=0, kept_rate=0, viewers=0),
    )


async def iperf3(lab: QemuLab, source: str, destination: str) -> float:
    """Payload that iperf3 carries over the migration link, bit/s at the receiver."""
    nodes, log = lab.topology.nodes, lab.folder / "iperf3.log"
    to = address(destination, "migration")
    async with running("iperf3's server", ["iperf3", "-s", "-B", to], Where(nodes[destination], lab.image_root), log):
        await asyncio.sleep(0.5)
        client = ["iperf3", "-c", to, "-t", str(SECONDS), "-J"]
        result = json.loads(await run("iperf3", client, Where(nodes[source], lab.image_root)))
    return float(result["end"]["sum_received"]["bits_per_second"])


async def record(trials: int, images: Images, progress: ConsoleProgress) -> RunFolder:
    """The trials, each after an iperf3 over its link; iperf3's figures are in iperf3.json of the run."""
    wanted = plan(trials)
    async with QemuLab.up(images.host_root, images.boot, wanted="auto", program=None) as lab:
        folder_of_run = RunFolder.create(folder(), text_of(wanted), manifest(1, "link", **lab.facts))
        engine = TrialEngine(lab, wanted, progress.phase)
        carried = []
        for spec in schedule(wanted):
            lab.topology.links["migration"].set_rate(spec.factors.link_bps)
            carried.append(await iperf3(lab, spec.source, spec.destination))
            opened = folder_of_run.open_trial(spec.number)
            folder_of_run.seal_trial(opened, await engine.run(spec, opened))
        (folder_of_run.path / "iperf3.json").write_text(json.dumps(carried))
    return folder_of_run


def measured(trials: int) -> RunFolder:
    """The trials on a lab of their own."""
    return with_images(lambda images, progress: record(trials, images, progress))


def table(found: RunFolder) -> str:
    """The machine, a row for each trial, and whether the goal is met."""
    carried = json.loads((found.path / "iperf3.json").read_text())
    lines, ratios = [machine(found.manifest)], []
    for recording, peer in zip(found.recordings(), carried, strict=True):
        number, ours = recording.trial.number, measure(recording)["link_payload_bps"]
        if ours.value is None:
            raise ValueError(f"trial {number}: {ours.reason}")
        ratios.append(ours.value / peer)
        lines.append(f"trial {number}: {ours.value / 1e6:.0f} Mbit/s, iperf3 {peer / 1e6:.0f}: {ratios[-1]:.3f}")
    met = verdict(bool(np.median(ratios) >= 0.97))
    return "\n".join([*lines, f"median ratio {np.median(ratios):.3f}; goal 0.97: {met}"])


if __name__ == "__main__":
    print(table(measured(int(sys.argv[1]) if len(sys.argv) > 1 else 5)))
