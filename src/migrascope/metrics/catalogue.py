"""Every metric once: its key, unit, title, meaning, page and what it needs. Columns, the data dictionary, what a run on
a cloud can measure and the documents' index are made from it."""

import re
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from typing import Literal

from migrascope.metrics import floating_ip, ovn
from migrascope.metrics.family import COMPARED, DIFFERENCE
from migrascope.metrics.http import KINDS
from migrascope.metrics.phases import PHASES
from migrascope.metrics.player import BUFFERS_S
from migrascope.metrics.sniffer import SERIES
from migrascope.metrics.steps import STEPS
from migrascope.metrics.windows import WINDOWS
from migrascope.model.family import key_of

Need = Literal[
    "api",
    "records",
    "bindings",
    "hypervisors",
    "links",
    "capture",
    "stamp",
    "browser",
    "log",
    "ovn",
    "floating",
    "ipv6",
]
"""A part of a cloud that may be in reach. records: of migrations; bindings: of ports to hosts; links: the counters and
frames of its networks; log: libvirt's own; ovn: its databases and switches; floating: its distributed floating IPs."""
_OF_WINDOW = {
    "before": "in the steady state before the request",
    "during": "from the request to the end of the migration and the recovery",
    "switchover": "from 1 s before the VM stopped to 4 s after, or so far as the network blackout reaches",
    "after": "after the recovery",
}
_ALL_WINDOWS = "{" + ",".join(WINDOWS) + "}"


@dataclass(frozen=True)
class Metric:
    """A metric, or a family of them: braces in the key hold alternatives, WINDOW stands for each window, INSTANCE for
    an instance of a fleet. unit: base unit of the values. meaning: what the figure is. page: its file in docs/metrics,
    without ending. title: how tables call it; None where none shows it. needs: what must be in reach on a cloud; None
    where every lab has it."""

    key: str
    unit: str
    meaning: str
    page: str
    title: str | None = None
    needs: Need | None = None

    def expanded(self, windows: str = _ALL_WINDOWS) -> list[str]:
        """All keys of the family. windows: what stands for WINDOW."""
        parts = re.split(r"\{([^}]*)\}", self.key.replace("WINDOW", windows))
        choices = [part.split(",") if place % 2 else [part] for place, part in enumerate(parts)]
        return ["".join(chosen) for chosen in product(*choices)]


_TITLES = {
    "windows": "Windows", "migration-time": "Migration time", "vm-pause": "VM pause",
    "reported": "What the hypervisor reports", "convergence": "Convergence", "network-blackout": "Network blackout",
    "pause-from-outside": "Guest pause from outside", "network-outage": "Network outage, total",
    "network-lost-time": "Network lost time",
    "http-blackout": "HTTP blackout", "player-stall": "Player stall", "browser": "A browser's own player",
    "data-transferred": "Data transferred", "storage-copy": "Copy of the volume",
    "delay": "Delay", "jitter": "Jitter", "loss": "Loss", "one-way-delay": "One-way delay",
    "one-way-variation": "One-way delay variation", "one-way-loss": "Loss by direction",
    "guest-clock": "The guest's clock", "throughput": "Throughput", "sniffer-delay": "Sniffer delay",
    "sniffer-jitter": "Sniffer jitter", "downtime-budget": "Downtime budget", "api": "What the cloud's API says",
    "libvirt": "What libvirt reports", "phases": "libvirt's phases and the handover",
    "steps": "Steps of a migration through OpenStack",
    "network-wiring": "Network wiring", "ovn": "What OVN does to the port",
    "blackout-steps": "The network blackout, step by step", "announced": "How the guest is announced",
    "neighbours": "Neighbour tables of router and client",
    "writer": "What the writer reached", "load": "The load before the migration",
    "hypervisor-cpu": "CPU of both sides", "fleet": "Several instances", "quality": "Quality of the measurement",
    "ipv6": "IPv6 beside IPv4", "statistics": "Statistics",
}  # fmt: skip
_BY_OTHERS = "of the layers of OpenStack: libvirt's account, the API's answers, named steps"
_REPORTED = "as the hypervisor reports it of itself"
_BLACKOUT = "longest silence of the echo probes around the switchover, and its bracket"
_OUTAGE = "silences of over five times the usual spacing"
_VISITS = "visits over new or kept connections: late, failed, the longest stretch without a good one"
_PLAYER = "viewers' players: stall, least buffer, lateness of the media"
_OF_BROWSER = "of the video in a browser's own player, from the request to the recovery"
_GIVEN = "whether the browser had the CPU that it wanted, from the steady state before to the recovery"
_WIRING = "when the instance's frames left the source's wiring and came to the destination's"
_OVN = "when OVN did what to the port, from RESUME on; how long the port had no chassis, how late changes were read"
_FLOATING_IP = (
    "a distributed floating IP on the external network, from RESUME: the source's last frame of it, the first packet "
    "brought to the destination, the destination's first frame, its gratuitous ARP"
)
_BLACKOUT_STEP = "a named step of the network blackout, or what none of them explains"
_ANNOUNCED = (
    "first RARP, gratuitous ARP, unsolicited neighbour advertisement, duplicate address detection and MLD report from "
    "the destination, first router advertisement to it, and how many"
)
_NEIGHBOUR = (
    "the entry of the instance in the neighbour table of its router, or of the client: 1 where it was right when the "
    "source stopped, for how long it was wrong from then on, when it was confirmed after RESUME"
)
_OF_FLEET = "over the instances of a trial"
_STEP_NEEDS: dict[str, Need] = {
    "completion": "records", "port_binding": "bindings", "dispatch": "bindings", "start": "hypervisors",
    "copy": "hypervisors", "switchover": "hypervisors", "port_activation": "hypervisors",
}  # fmt: skip
_OVER_IPV4 = [
    Metric("switchover_s", "s", "length of the window switchover", "windows"),
    Metric("migration_time_s", "s", "from the request to the end on both sides", "migration-time", "Migration time"),
    Metric("vm_pause_s", "s", "from STOP on the source to RESUME on the destination, by QEMU's stamps", "vm-pause",
           "VM pause"),
    Metric("reported_total_s", "s", _REPORTED, "reported"),
    Metric("reported_downtime_s", "s", _REPORTED, "reported", "Reported downtime"),
    Metric("set_downtime_limit_s", "s", "the downtime limit at the switchover, read back from QEMU", "reported"),
    Metric("reported_transferred_bytes", "B", _REPORTED, "reported"),
    Metric("rounds", "1", "passes over the guest's memory", "convergence"),
    Metric("dirty_rate_Bps", "B/s", "memory that the guest dirtied, as QEMU saw it", "convergence"),
    Metric("network_blackout_s", "s", _BLACKOUT, "network-blackout", "Network blackout"),
    Metric("network_blackout_{low,high}_s", "s", _BLACKOUT, "network-blackout"),
    Metric("guest_pause_from_outside_s", "s", "how long its clock stood still over the blackout, by TCP's stamps",
           "pause-from-outside", "Guest pause from outside"),
    Metric("network_beside_pause_s", "s", "the network blackout less the guest's pause from outside",
           "pause-from-outside"),
    Metric("network_outage_total_s", "s", _OUTAGE, "network-outage"),
    Metric("network_outages", "1", _OUTAGE, "network-outage"),
    Metric("network_lost_time_s", "s", "time whose echo probes were lost", "network-lost-time"),
    *(Metric(f"http_{kind}_blackout_s", "s", _VISITS, "http-blackout", f"HTTP blackout, {kind}") for kind in KINDS),
    Metric("http_{new,kept}_{worst,late_after}_s", "s", _VISITS, "http-blackout"),
    Metric("http_{new,kept}_{failed,late}", "1", _VISITS, "http-blackout"),
    Metric("player_stall_s", "s", _PLAYER, "player-stall", "Player stall"),
    Metric("player_stall_s.{" + ",".join(f"{buffer_s:g}" for buffer_s in BUFFERS_S) + "}", "s", _PLAYER,
           "player-stall"),
    Metric("player_{least_buffer,lateness}_s", "s", _PLAYER, "player-stall"),
    Metric("browser.stall_s", "s", f"time stood still, {_OF_BROWSER}", "browser", needs="browser"),
    Metric("browser.stalls", "1", f"how often it stood still, {_OF_BROWSER}", "browser", needs="browser"),
    Metric("browser.buffer_s", "s", "what a browser's own player usually held ahead before the request", "browser",
           needs="browser"),
    Metric("browser.least_buffer_s", "s", f"the least that was held ahead, {_OF_BROWSER}", "browser", needs="browser"),
    Metric("browser.{cpu,dropped,pace}_ratio", "ratio", _GIVEN, "browser", needs="browser"),
    Metric("browser.late_p99_s", "s", _GIVEN, "browser", needs="browser"),
    Metric("data_transferred_bytes", "B", "payload on the migration link, both directions", "data-transferred",
           "Data transferred"),
    Metric("link_payload_bps", "bit/s", "payload rate on the migration link while memory was copied",
           "data-transferred"),
    Metric("storage_copy_s", "s", "how long the volume was copied before the memory was", "storage-copy",
           "Copy of the volume"),
    Metric("disk_data_bytes", "B", "payload of the volume's copy on the migration link, both directions",
           "storage-copy", "Disk data"),
    Metric("memory_data_bytes", "B", "payload on the migration link less that of the volume's copy", "storage-copy",
           "Memory data"),
    Metric("reported_disk_bytes", "B", "how much of the volume QEMU went through, its empty parts too", "storage-copy"),
    Metric("probe.rtt_s.WINDOW.{p50,p95,p99,max}", "s", "round trip of echo probes", "delay", "Delay"),
    Metric("visitor.rtt_s.WINDOW.{p50,p95}", "s", "round trip that the kernel estimates for visitors' flows", "delay"),
    Metric("probe.rtt_variation_s.WINDOW.{p50,p95}", "s",
           "variation between successive round trips (RFC 3393, of round trips)", "jitter", "Jitter"),
    Metric("probe.rtt_variation_pairs_ratio.WINDOW", "ratio",
           "share of the pairs of successive echo probes that were both answered, of which the variation is", "jitter"),
    Metric("probe.rtt_pdv_s.WINDOW.p95", "s",
           "round trips above the least one of the window (RFC 5481, of round trips)", "jitter"),
    Metric("probe.rtt_smoothed_jitter_s.WINDOW.max", "s", "smoothed variation (RFC 3550, of round trips)", "jitter"),
    Metric("probe.loss_ratio.WINDOW", "ratio", "echo probes that were lost, or late", "loss", "Loss"),
    Metric("probe.late_ratio.WINDOW", "ratio", "echo probes that were lost, or late", "loss"),
    Metric("visitor.retransmit_ratio.WINDOW", "ratio", "segments of visitors' flows that were sent again", "loss"),
    Metric("probe.owd_{out,back}_s.WINDOW.{p50,p95,max}", "s", "delay one way, by STAMP: out to the guest, or back",
           "one-way-delay", needs="stamp"),
    Metric("probe.{ipdv,pdv}_{out,back}_s.WINDOW.{p50,p95}", "s",
           "variation of the delay one way (RFC 3393, RFC 5481)", "one-way-variation", needs="stamp"),
    Metric("probe.owd_smoothed_jitter_{out,back}_s.WINDOW.max", "s", "smoothed variation one way (RFC 3550)",
           "one-way-variation", needs="stamp"),
    Metric("probe.loss_{out,back}_ratio.WINDOW", "ratio", "STAMP packets that were lost on that way", "one-way-loss",
           needs="stamp"),
    Metric("probe.clock_{offset_s.before,offset_s.after,step_s}", "s",
           "the guest's clock against the client's, over the pause", "guest-clock", needs="stamp"),
    Metric("visitor.goodput_bps.WINDOW", "bit/s", "what reached the visitors", "throughput", "Throughput"),
    Metric("visitor.lost_s.during", "s",
           "seconds of the usual goodput that they went without, less what they went without before", "throughput"),
    *(Metric(f"sniffer.{what}_s.{{{','.join(SERIES)}}}.WINDOW", "s",
             "spacing of packets in the capture, as a sniffer prints it", f"sniffer-{what}", needs="capture")
      for what in ("delay", "jitter")),
    Metric("budget.{before_stop,reported_downtime,until_resume,until_reply}_s", "s",
           "parts that add up to the network blackout",
           "downtime-budget"),
    Metric("api_{accept,task,active}_s", "s", _BY_OTHERS, "api", needs="api"),
    Metric("api_record_s.{preparing,running,completed}", "s", _BY_OTHERS, "api", needs="records"),
    Metric("api_binding_s.{created,active,removed}", "s", _BY_OTHERS, "api", needs="bindings"),
    Metric("api_migration_time_s", "s", _BY_OTHERS, "api", needs="records"),
    Metric("api_{memory,disk}_bytes", "B", _BY_OTHERS, "api", needs="records"),
    Metric("libvirt_{total,downtime,downtime_net,setup}_s", "s", _BY_OTHERS, "libvirt", needs="hypervisors"),
    Metric("libvirt_{transferred,memory,disk}_bytes", "B", _BY_OTHERS, "libvirt", needs="hypervisors"),
    *(Metric(key + ".{" + ",".join(PHASES) + "}", "s", f"a phase of libvirt's by its own log{within}", "phases",
             needs="log")
      for key, within in (("phase_s", ""), ("phase_pause_s", ", what of it lies within VM pause"),
                          ("phase_blackout_s", ", what of it lies within the network blackout"))),
    Metric("handover.{wait,start}_s", "s", "how long the source, stopped, and the destination, complete, waited for a "
           "manager's word", "phases", needs="hypervisors"),
    *(Metric(f"step_s.{step}", "s", _BY_OTHERS, "steps", needs=_STEP_NEEDS.get(step, "api")) for step in STEPS),
    Metric("network_wiring_s", "s", _WIRING, "network-wiring", needs="links"),
    Metric("wiring.{left,came,announced,heard,spoke,router,spoke_ipv6,router_ipv6}_s", "s", _WIRING, "network-wiring",
           needs="links"),
    Metric("floating_ip.{" + ",".join(floating_ip.STAMPS) + "}_s", "s", _FLOATING_IP, "network-wiring",
           needs="floating"),
    Metric("ovn.{" + ",".join(name for name in ovn.STAMPS if name != "floating") + "}_s", "s", _OVN, "ovn",
           needs="ovn"),
    Metric("ovn.floating_s", "s", _OVN, "ovn", needs="floating"),
    Metric("ovn.{unbound,lag}_s", "s", _OVN, "ovn", needs="ovn"),
    Metric("blackout_step_s.{before_stop,pause,announce,delivery,answer,routing,repeats,unexplained}", "s",
           _BLACKOUT_STEP, "blackout-steps", needs="links"),
    Metric("blackout_step_s.{activation,flows}", "s", _BLACKOUT_STEP, "blackout-steps", needs="ovn"),
    Metric("blackout_step_s.{claim,move}", "s", _BLACKOUT_STEP, "blackout-steps", needs="floating"),
    Metric("announced.{rarp,garp,na,dad,mld,ra}_s", "s", _ANNOUNCED, "announced", needs="links"),
    Metric("announced.frames.{rarp,garp,na,dad,mld,ra}", "1", _ANNOUNCED, "announced", needs="links"),
    Metric("{router,client}_neighbour.{right,right_ipv6}", "1", _NEIGHBOUR, "neighbours", needs="links"),
    Metric("{router,client}_neighbour.{wrong,confirmed,wrong_ipv6,confirmed_ipv6}_s", "s", _NEIGHBOUR, "neighbours",
           needs="links"),
    Metric("writer_Bps.{before,during}", "B/s", "what the steady writer reached, by its own count", "writer"),
    Metric("load.in_time_ratio.{new,kept}", "ratio",
           "visits before the migration that were answered within 100 ms, over new or kept ones", "load"),
    Metric("load.{guest,hypervisor}_busy_ratio", "ratio",
           "share of one core that the guest used before the migration", "load"),
    Metric("hypervisor_cpu_s.{source,destination}", "s", "CPU time of the QEMU on that side during the migration",
           "hypervisor-cpu"),
    Metric("fleet.{migrated,failed,at_once}", "1",
           "instances that were migrated, that failed, and the most under way at once", "fleet"),
    Metric("fleet.total_s", "s", "from the first request to the last end", "fleet"),
    Metric("fleet.data_bytes", "B", "payload on the migration link over all of it", "fleet"),
    Metric("fleet.{from_request_s,waited_s,migration_time_s,blackout_s}.{median,max,sum}", "s", _OF_FLEET, "fleet"),
    Metric("fleet.INSTANCE.{from_request_s,waited_s,migration_time_s,blackout_s}", "s", "of one instance", "fleet"),
    Metric("quality.{prober_late_p99,prober_late_max,wall_step}_s", "s",
           "how far the measurement itself was disturbed", "quality"),
    Metric("quality.{cpu_pressure,steal}", "ratio", "how far the measurement itself was disturbed", "quality"),
]  # fmt: skip


_OF_FAMILIES = (
    "network-blackout", "network-outage", "network-lost-time", "http-blackout", "delay", "jitter", "loss", "throughput",
    "sniffer-delay", "sniffer-jitter", "one-way-delay", "one-way-variation", "one-way-loss", "player-stall",
    "blackout-steps",
)  # fmt: skip
"""The pages whose figures are measured over each address family."""


_TITLE_OF = {metric.key: metric.title for metric in _OVER_IPV4}


def _over_ipv6(metric: Metric) -> Metric:
    """The same over IPv6: on the page of the first, since only the packets differ."""
    title = metric.title and f"{metric.title}, IPv6"
    meaning, needs = f"{metric.meaning}, over IPv6", metric.needs or "ipv6"
    return replace(metric, key=key_of(metric.key), meaning=meaning, title=title, needs=needs)


_OVER_IPV6 = [
    *(_over_ipv6(metric) for metric in _OVER_IPV4 if metric.page in _OF_FAMILIES),
    *(Metric(key_of(key, DIFFERENCE), "s", f"{key_of(key)} less {key}, of one trial", "ipv6",
             f"{_TITLE_OF[key]}, IPv6 less IPv4", needs="ipv6") for key in COMPARED),
]  # fmt: skip
METRICS = [*_OVER_IPV4, *_OVER_IPV6]


@cache
def _by_key() -> dict[str, Metric]:
    return {key: metric for metric in METRICS for key in metric.expanded()}


def metric_of(key: str) -> Metric | None:
    """The metric, or family, that a key belongs to; None for one that there is not."""
    return _by_key().get(re.sub(r"\bvm-\d+\b", "INSTANCE", key))


def meaning(key: str) -> str | None:
    """What a figure is, in a sentence; None for one that there is not."""
    metric = metric_of(key)
    if metric is None:
        return None
    in_window = not key.startswith("step_s.")  # because a step is named switchover, too
    window = next((_OF_WINDOW[part] for part in key.split(".") if in_window and part in _OF_WINDOW), None)
    rank = re.search(r"\.(p\d+|max)$", key)
    return "; ".join(part for part in (metric.meaning, window, rank and f"{rank[1]} of all in it") if part)


def index() -> str:
    """The table of docs/metrics/README.md: each page with its keys."""
    keys = dict.fromkeys(_TITLES, "")
    keys |= {"windows": "the WINDOW in other keys", "statistics": "median, interval, coverage, what is pooled"}
    for metric in METRICS:
        page = "ipv6" if metric in _OVER_IPV6 else metric.page
        keys[page] += f"{', ' if keys[page] else ''}`{metric.key}`"
    rows = [f"| [{_TITLES[page]}]({page}.md) | {words} |" for page, words in keys.items()]
    return "\n".join(["| page | keys |", "|---|---|", *rows]) + "\n"


def keys_over_ipv6() -> str:
    """The paragraph of docs/metrics/ipv6.md that names each key."""
    keys = [f"`{key}`" for metric in _OVER_IPV6 for key in metric.expanded("WINDOW")]
    return f"Keys: {', '.join(keys)}\n"
