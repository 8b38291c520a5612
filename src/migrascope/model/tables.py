"""The recorded tables: their columns, types and schema numbers. Probes write them, metrics read them, nothing else.

Every stamp ends in _ns. mono stamps (CLOCK_MONOTONIC of the named host) carry no prefix; *_wall_ns stamps are
CLOCK_REALTIME, because the kernel or QEMU stamps with it. Each row of a sealed table has four more columns, constant
for the process that wrote it: source, host, instance, migration.
"""

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["int", "float", "str", "bool"]
CONSTANTS = ("source", "host", "instance", "migration")


@dataclass(frozen=True)
class Table:
    """name, schema number, columns in their order with their types, and what a row is. added: the columns that came
    with a later schema, with what stands for them where an older one was recorded."""

    name: str
    schema: int
    columns: dict[str, Kind]
    row: str
    added: dict[str, int] = field(default_factory=dict)


_ALL = [
    Table(
        "echo_sent", 1,
        {"seq": "int", "due_ns": "int", "sent_ns": "int"},
        "an ICMP echo request: when it was due, and the stamp right before it was handed to the kernel",
    ),
    Table(
        "echo_reply", 1,
        {"seq": "int", "recv_wall_ns": "int", "recv_ns": "int"},
        "an echo reply: the kernel's receive stamp (wall) and when the prober read it",
    ),
    Table(
        "back_off", 1,
        {"mono_ns": "int", "until_ns": "int", "why": "str"},
        "the prober was told to stop (ICMP: administratively prohibited; HTTP: 429) and sends nothing until then",
    ),
    Table(
        "stamp_sent", 1,
        {"seq": "int", "due_ns": "int", "sent_ns": "int"},
        "a STAMP test packet: when it was due, and the stamp right before it was handed to the kernel",
    ),
    Table(
        "stamp_reply", 1,
        {
            "seq": "int", "number": "int", "reflector_recv_wall_ns": "int", "reflector_sent_wall_ns": "int",
            "ttl": "int", "recv_wall_ns": "int", "recv_ns": "int",
        },
        "the reflector's answer: its own sequence number, when the packet came to it and when it answered (the guest's "
        "wall clock), with which TTL the packet came; the kernel's receive stamp (wall) and when the prober read it",
    ),
    Table(
        "peer_clock", 1,
        {
            "connection": "int", "flags": "int", "tsval": "int", "ttl": "int", "recv_wall_ns": "int", "recv_ns": "int",
        },
        "a TCP segment of the machine on a connection that is kept for its time stamps: the connection's number, the "
        "segment's flags, its time stamp (RFC 7323; -1: none) and TTL or hop limit (-1: not known), the kernel's "
        "receive stamp (wall) and when it was read",
    ),
    Table(
        "neighbour", 1,
        {"how": "str", "mac": "str", "why": "str", "recv_wall_ns": "int", "recv_ns": "int"},
        "the MAC of the machine's address as this machine's link has it: by the neighbour table when it is another one "
        "(table), by RARP, gratuitous ARP or an unsolicited neighbour advertisement (rarp, garp, na), when that came "
        "(wall) and when it was read; or that there is none to be seen (unseen), and why",
    ),
    Table(
        "boot", 1,
        {"asked_ns": "int", "answered_ns": "int", "boot_id": "str", "problem": "str"},
        "the machine was asked for its boot id by HTTP: the id, or what went wrong; answered_ns: when either was known",
    ),
    Table(
        "clock", 1,
        {"mono_ns": "int", "wall_ns": "int"},
        "both clocks of this machine read together, every 100 ms",
    ),
    Table(
        "qmp_event", 1,
        {"event": "str", "event_wall_ns": "int", "recv_ns": "int", "data": "str"},
        "an event of the QEMU on `host`: QEMU's own stamp (wall, us), when it was read, its data as JSON",
    ),
    Table(
        "qmp_status", 1,
        {"asked_ns": "int", "answered_ns": "int", "command": "str", "answer": "str"},
        "one answer of the QEMU on `host` to query-migrate, query-status, query-migrate-capabilities or -parameters, "
        "as JSON; empty where it did not answer",
    ),
    Table(
        "link", 2,
        {
            "mono_ns": "int", "link": "str", "node": "str",
            "to_node_bytes": "int", "to_node_packets": "int", "from_node_bytes": "int", "from_node_packets": "int",
            "drops": "int", "ifindex": "int",
        },
        "counters of one node's port on one link, read at the switch, every 100 ms; ifindex: the kernel's number of "
        "the port, another one where it was made anew (0 in recordings of schema 1)",
        {"ifindex": 0},
    ),
    Table(
        "flow", 1,
        {"mono_ns": "int", "to_bytes": "int", "to_packets": "int", "from_bytes": "int", "from_packets": "int"},
        "frames of TCP to the port of the migration link on which a volume is copied, and from it, as the switch "
        "forwards them, every 100 ms; only where a volume is copied",
    ),
    Table(
        "process_cpu", 1,
        {"mono_ns": "int", "process": "str", "cpu_s": "float", "rss_bytes": "int"},
        "CPU time that a process has used so far (qemu-host-a, qemu-host-b, echo, ...), every 100 ms",
    ),
    Table(
        "machine", 1,
        {
            "mono_ns": "int", "busy_s": "float", "steal_s": "float",
            "psi_cpu_some_us": "int", "psi_memory_some_us": "int", "psi_io_some_us": "int", "available_bytes": "int",
        },
        "this machine: CPU and steal time, pressure stall totals (-1 where the kernel has none), memory left",
    ),
    Table(
        "visit", 1,
        {
            "kind": "str", "seq": "int", "due_ns": "int", "sent_ns": "int", "connected_ns": "int",
            "first_byte_ns": "int", "done_ns": "int", "status": "int", "bytes": "int", "connection": "int",
            "error": "str",
        },
        "a visit (kind new: a connection of its own, kept: a kept connection). A stamp that did not happen is 0; "
        "error is empty when the whole page came with status 200",
    ),
    Table(
        "tried", 1,
        {"mono_ns": "int", "viewers": "int", "rate": "float", "in_time": "float", "busy": "float"},
        "a rate that was tried before a run (visits a second of each kind), the share of its visits answered in time, "
        "and the share of one core that the guest used (-1 where it did not say)",
    ),
    Table(
        "borne", 1,
        {"mono_ns": "int", "viewers": "int", "rate": "float", "busy": "float", "serves": "float"},
        "the rate that the guest bears (0: not even the least), the share of one core that it used then, and the rate "
        "that would fill it (-1 where that is not known)",
    ),
    Table(
        "tcp_info", 1,
        {
            "mono_ns": "int", "flow": "int", "kind": "str", "rtt_us": "int", "rttvar_us": "int",
            "bytes_received": "int", "bytes_acked": "int", "segs_out": "int", "segs_in": "int",
            "total_retrans": "int", "state": "int", "closing": "bool",
        },
        "TCP_INFO of one visitor's or viewer's socket (kind new, kept, hls, mp4), every 20 ms; closing: the last of "
        "that flow",
    ),
    Table(
        "segment", 1,
        {
            "seq": "int", "media_start_s": "float", "media_duration_s": "float", "asked_ns": "int", "done_ns": "int",
            "bytes": "int", "status": "int", "error": "str",
        },
        "one request of a viewer for a stretch of media: an HLS segment or an MP4 range; done_ns 0 where it never "
        "came whole",
    ),
    Table(
        "arrival", 1,
        {"mono_ns": "int", "seq": "int", "bytes": "int"},
        "bytes of media that a viewer received: how many more of the segment or range `seq`",
    ),
    Table(
        "browser_event", 1,
        {"mono_ns": "int", "event": "str", "media_s": "float", "ready": "int", "note": "str"},
        "an event of the video in a browser (playing, waiting, ended, error, ...): its moment, where in the film, the "
        "readyState, what the player said; begun: the page's script runs, in which browser; clock: the page's clock "
        "was set against ours, to so many ns",
    ),
    Table(
        "browser", 1,
        {
            "mono_ns": "int", "media_s": "float", "ready": "int", "ahead_s": "float", "frames": "int", "dropped": "int",
            "late_ms": "float",
        },
        "the video in a browser, every 50 ms: where in the film, the readyState, how much is buffered ahead, frames so "
        "far and how many of them were dropped, and how much later than due the page's timer came",
    ),
    Table(
        "liveness", 2,
        {
            "asked_ns": "int", "answered_ns": "int", "request": "str", "boot_id": "str", "counter": "int",
            "hash": "str", "error": "str",
        },
        "one request to the guest's liveness service and its answer; answered_ns 0 and error where there was none",
    ),
    Table(
        "guest_load", 1,
        {"asked_ns": "int", "answered_ns": "int", "uptime_s": "float", "idle_s": "float", "cpus": "int"},
        "what the guest's processors have done so far, by its own count, every second before the migration: its uptime "
        "and how long all of them together were idle",
    ),
    Table(
        "sample", 1,
        {
            "asked_ns": "int", "answered_ns": "int", "what": "str", "period_s": "float", "pages": "int",
            "answer": "str", "error": "str",
        },
        "a look at the instance's memory before its migration; what dirty: QEMU's answer to query-dirty-rate as JSON, "
        "so many pages of each GiB looked at twice, a period apart; what held: of so many pages at random, how many "
        "held something but zeros. error: why it failed, its answer is empty then and answered_ns 0",
    ),
    Table(
        "ledger", 1,
        {"recv_ns": "int", "number": "int", "boot": "str", "receipt": "int", "given": "int"},
        "a record of the guest's ledger that reached the collector: its number, boot id and the receipt in it, and the "
        "receipt that was given for it; one that came again has another",
    ),
    Table(
        "frame", 1,
        {"from_ns": "int", "until_ns": "int", "node": "str", "frames": "int"},
        "how many frames with the instance's MAC as their sender came from a node, every 50 ms, counted at the switch",
    ),
    Table(
        "stress", 1,
        {
            "asked_ns": "int", "answered_ns": "int", "worker": "int", "work": "str", "state": "str", "bytes": "int",
            "operations": "int", "guest_s": "float", "cpu_s": "float", "reason": "str",
        },
        "what a worker in the guest has done since its start, every 500 ms; guest_s: the guest's own clock at that",
    ),
    Table(
        "sink", 1,
        {"mono_ns": "int", "bytes": "int"},
        "bytes that the instance's network load has brought to the client so far, every 100 ms",
    ),
    Table(
        "capture", 1,
        {"mono_ns": "int", "interface": "str", "packets": "int", "drops": "int"},
        "packets that the capture took since its row before, and those for which the kernel had no room, every second",
    ),
    Table(
        "api", 1,
        {"asked_ns": "int", "answered_ns": "int", "what": "str", "answer": "str", "error": "str"},
        "an answer of the cloud's API about the server (what: server, record, running, bindings, actions), as JSON; "
        "error is empty where there was one",
    ),
    Table(
        "fleet", 1,
        {
            "asked_ns": "int", "answered_ns": "int", "name": "str", "status": "str", "task": "str", "host": "str",
            "record": "str", "seen_ns": "int",
        },
        "what a look at a whole fleet showed of one instance, when it was another than the look before; seen_ns: when "
        "that look was asked for, at which it was not so yet",
    ),
    Table(
        "libvirt_event", 1,
        {"event": "str", "recv_ns": "int", "data": "str"},
        "an event of libvirt on `host` (lifecycle, job-completed; qemu-unheard: it refused QEMU's events), when it was "
        "read, its data as JSON",
    ),
    Table(
        "libvirt_job", 1,
        {"asked_ns": "int", "answered_ns": "int", "kind": "str", "answer": "str"},
        "libvirt's job statistics of the domain on `host` as JSON; kind: running, or completed",
    ),
    Table(
        "libvirt_log", 1,
        {"wall_ns": "int", "thread": "int", "function": "str", "message": "str"},
        "a line of libvirt's own log on `host` that names a phase of a migration: libvirt's stamp (wall, whole ms, cut "
        "off), the number of its thread, the function that wrote it and its words",
    ),
    Table(
        "host_clock", 1,
        {"asked_ns": "int", "answered_ns": "int", "wall_ns": "int"},
        "what the clock of `host` said (wall, us) between a command to its QEMU and the answer: QEMU's own stamp of an "
        "event that the command provoked, twice a second while the instance runs there",
    ),
    Table(
        "announce", 1,
        {
            "first_wall_ns": "int", "last_wall_ns": "int", "node": "str", "place": "str", "way": "str", "kind": "str",
            "frames": "int",
        },
        "frames of one kind (rarp, garp, arp; na: an unsolicited neighbour advertisement; dad, nd, rs, ra, mld; frame6:"
        " any other of IPv6; frame: any other) without a silence of 20 ms: place tap or tenant: from or to the "
        "instance's MAC, seen at that node; place router: from or to its visitors' addresses, and ARP about them, at "
        "that node's port of the external network; place port: that node's port at the lab's switch, without frame6 "
        "and frame. The kernel's stamps (wall)",
    ),
    Table(
        "neighbour_state", 1,
        {
            "read_ns": "int", "node": "str", "place": "str", "address": "str", "state": "str", "mac": "str",
            "why": "str",
        },
        "what the neighbour table of the router on that node (place router), or of the client (place client), has for "
        "an address of the instance: at the beginning and at each change that the kernel tells, which are all but that "
        "to delay; state: none, incomplete, reachable, stale, delay, probe, failed, noarp, permanent, gone (the entry "
        "was removed); mac: empty where none holds; or that it cannot be looked into (unseen), and why",
    ),
    Table(
        "journal", 1,
        {"wall_ns": "int", "unit": "str", "message": "str"},
        "a line of a service's journal on `host` that is about the instance: the kernel's stamp of when it was sent, "
        "where the journal has it, else the journal's of when it came (wall, us)",
    ),
    Table(
        "ovn", 1,
        {"wall_ns": "int", "what": "str", "line": "str"},
        "a line of a monitor on `host` that is about the instance's port, and when it was read, by the host's clock; "
        "what: binding: OVN's southbound Port_Binding; interface: the switch's Interface (both JSON, as ovsdb-client "
        "prints them); chassis: which row of Chassis has which name; flow: a flow of br-int's tables 0 and 65, or "
        "for ARP that asks for the visitors' address, that came or went",
    ),
    Table(
        "ceph", 1,
        {
            "asked_ns": "int", "answered_ns": "int", "health": "str", "checks": "str", "read_Bps": "int",
            "write_Bps": "int",
        },
        "how Ceph was, every second: health and the checks that say why (empty where it did not answer), and its "
        "clients' traffic as it reports it",
    ),
    Table(
        "disturbance", 1,
        {
            "name": "str", "kind": "str", "target": "str", "when": "str", "due_ns": "int", "asked_ns": "int",
            "effect_ns": "int", "healed_ns": "int", "note": "str",
        },
        "a disturbance: when it was due (the event of its phase and its offset), asked for, took effect, was healed; "
        "0: never, or nothing to heal",
    ),
    Table(
        "hold", 1,
        {"from_ns": "int", "until_ns": "int", "bound_ns": "int", "kind": "str", "nominal_s": "float"},
        "a known truth of calibrate (kind cut, pause, http, player): when it began and ended, and how far that may be "
        "off",
    ),
]  # fmt: skip

TABLES = {table.name: table for table in _ALL}
