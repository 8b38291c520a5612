"""The data dictionary of an export: what each column is, in which unit, and where it came from."""

import re

from migrascope.analysis.summary import Summary

FACTORS = {
    "scenario": "what the website's page holds",
    "policy": "way of migrating, as the plan names it",
    "memory_bytes": "memory of the guest",
    "link_bps": "rate of the migration link; 0 without a limit",
    "downtime_limit_s": "QEMU's downtime limit",
    "cache": "whether the guest's page cache held the videos",
    "resident_bytes": "incompressible memory that the guest held",
    "probes": "whether it was probed and visited",
    "disturbance": "what disturbed it",
    "instances": "how many instances migrated at once",
    "vcpus": "processors of the guest",
    "write_Bps": "rate of the steady writer in the guest; 0 without one",
    "write_set_bytes": "its working set",
    "write_pattern": "the order in which it writes",
}
TRIAL = {
    "trial": "number of the trial in running order",
    "block": "number of the block, in which each cell is once",
    "source": "host that the instance left",
    "destination": "host that it went to",
    "status": "ok, failed, not-converged, overloaded or damaged",
    "reason": "why it failed",
    "limited": "whether the downtime limit decided: reported downtime over 0.7 of it",
    "verdict": "what became of the guest",
    "because": "what the verdict rests on",
}
CELL = {
    "trials": "trials of the cell",
    "failed": "those that failed and are in no statistic",
    "metric": "name of the figure",
    "unit": "its base unit",
    "median": "median over the trials",
    "low": "lower end of the median's interval, by order statistics; empty below six trials",
    "high": "its upper end",
    "coverage": "coverage that the interval truly has",
    "min": "least",
    "max": "greatest",
    "n": "trials that measured it",
}
WINDOW = {
    "before": "in the steady state before the request",
    "during": "from the request to the end of the migration and the recovery",
    "switchover": "from 1 s before the VM stopped to 4 s after",
    "after": "after the recovery",
}
METRICS = [
    (r"migration_time_s", "from the request to the end on both sides"),
    (r"vm_pause_s", "from STOP on the source to RESUME on the destination, by QEMU's stamps"),
    (r"reported_.*", "as the hypervisor reports it of itself"),
    (r"network_blackout.*", "longest silence of the echo probes around the switchover, and its bracket"),
    (r"network_outage.*", "silences of over five times the usual spacing"),
    (r"network_lost_time_s", "time whose echo probes were lost"),
    (
        r"http_(new|kept)_.*",
        "visits over new or kept connections: late, failed, the longest stretch without a good one",
    ),
    (r"player_.*", "viewers' players: stall, least buffer, lateness of the media"),
    (r"data_transferred_bytes", "payload on the migration link, both directions"),
    (r"link_payload_bps", "payload rate on the migration link while memory was copied"),
    (r"rounds", "passes over the guest's memory"),
    (r"dirty_rate_Bps", "memory that the guest dirtied, as QEMU saw it"),
    (r"probe\.rtt_s\..*", "round trip of echo probes"),
    (r"probe\.rtt_variation_s\..*", "variation between successive round trips (RFC 3393, of round trips)"),
    (r"probe\.rtt_smoothed_jitter_s\..*", "smoothed variation (RFC 3550, of round trips)"),
    (r"probe\.(loss|late)_ratio\..*", "echo probes that were lost, or late"),
    (r"probe\.owd_(out|back)_s\..*", "delay one way, by STAMP: out to the guest, or back"),
    (r"probe\.(ipdv|pdv)_(out|back)_s\..*", "variation of the delay one way (RFC 3393, RFC 5481)"),
    (r"probe\.owd_smoothed_jitter_(out|back)_s\..*", "smoothed variation one way (RFC 3550)"),
    (r"probe\.loss_(out|back)_ratio\..*", "STAMP packets that were lost on that way"),
    (r"probe\.clock_.*", "the guest's clock against the client's, over the pause"),
    (r"visitor\.rtt_s\..*", "round trip that the kernel estimates for visitors' flows"),
    (r"visitor\.retransmit_ratio\..*", "segments of visitors' flows that were sent again"),
    (r"visitor\.goodput_bps\..*", "what reached the visitors"),
    (r"visitor\.lost_s\..*", "seconds of the usual goodput that they went without, less what they went without before"),
    (r"sniffer\..*", "spacing of packets in the capture, as a sniffer prints it"),
    (r"(libvirt|api|step)_.*", "of the layers of OpenStack: libvirt's account, the API's answers, named steps"),
    (
        r"(network_wiring_s|wiring\..*)",
        "when the instance's frames left the source's wiring and came to the destination's",
    ),
    (r"fleet\.(migrated|failed|at_once)", "instances that were migrated, that failed, and the most under way at once"),
    (r"fleet\.total_s", "from the first request to the last end"),
    (r"fleet\.data_bytes", "payload on the migration link over all of it"),
    (r"fleet\.\w+\.(median|max|sum)", "over the instances of a trial"),
    (r"fleet\.vm-\d+\.\w+", "of one instance"),
    (r"writer_Bps\..*", "what the steady writer reached, by its own count"),
    (r"load\.in_time_ratio\..*", "visits before the migration that were answered within 100 ms, over new or kept ones"),
    (r"load\.(guest|hypervisor)_busy_ratio", "share of one core that the guest used before the migration"),
    (r"hypervisor_cpu_s\..*", "CPU time of the QEMU on that side during the migration"),
    (r"budget\..*", "parts of the downtime that add up"),
    (r"quality\..*", "how far the measurement itself was disturbed"),
]


def meaning(key: str) -> str | None:
    """What a figure is, in a sentence; None for one that nobody described."""
    text = next((text for pattern, text in METRICS if re.fullmatch(pattern, key)), None)
    window = next((words for name, words in WINDOW.items() if f".{name}" in key), None)
    rank = re.search(r"\.(p\d+|max)$", key)
    said = [text, window, rank and f"{rank[1]} of all in it"]
    return "; ".join(part for part in said if part) if text else None


def dictionary(summary: Summary) -> list[list[str]]:
    """Rows of (column, unit, source, meaning), a heading first."""
    rows = [["column", "unit", "source", "meaning"]]
    rows += [[name, "", "plan", text] for name, text in FACTORS.items()]
    rows += [[name, "", "trials", text] for name, text in TRIAL.items()]
    rows += [[name, "", "cells", text] for name, text in CELL.items()]
    seen = {key: (one.unit, one.source) for trial in summary.trials for key, one in trial.metrics.items()}
    return rows + [[key, unit, source, meaning(key) or ""] for key, (unit, source) in seen.items()]
