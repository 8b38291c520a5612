"""The keys that every trial of a video scenario on a lab with all probes has: the public interface."""

from migrascope.metrics.windows import WINDOWS

PUBLIC = [
    "migration_time_s", "reported_total_s", "vm_pause_s", "reported_downtime_s", "network_blackout_s",
    "network_outage_total_s", "network_lost_time_s", "http_new_blackout_s", "http_kept_blackout_s", "player_stall_s",
    "data_transferred_bytes", "reported_transferred_bytes", "rounds", "dirty_rate_Bps",
    *(f"probe.rtt_s.{w}.{p}" for w in WINDOWS for p in ("p50", "p95", "p99", "max")),
    *(f"probe.rtt_variation_s.{w}.{p}" for w in WINDOWS for p in ("p50", "p95")),
    *(f"probe.loss_ratio.{w}" for w in WINDOWS),
    *(f"visitor.rtt_s.{w}.{p}" for w in WINDOWS for p in ("p50", "p95")),
    *(f"visitor.retransmit_ratio.{w}" for w in WINDOWS),
    *(f"visitor.goodput_bps.{w}" for w in WINDOWS),
]  # fmt: skip
