"""The flows of a capture as CSV (RFC 4180), a row for each direction, in base units."""

import csv
import io

from migrascope.qos.result import Qos

_METRICS = ("throughput_bps", "delay_s", "delay_p50_s", "delay_p95_s", "delay_max_s", "jitter_s", "loss_ratio")
_COUNTS = (
    "packets", "bytes", "payload_bytes", "data_segments", "retransmitted", "out_of_order", "lost_segments",
    "duplicate_acks", "requests", "lost", "expected", "received",
)  # fmt: skip
_UNITS = {"throughput_bps": "bit/s", "loss_ratio": "ratio"}


def table(qos: Qos) -> str:
    """Nothing where there is no value; of the longest silence its begin, length, and the least of what was missing;
    who refused packets first."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(
        ["protocol", "from", "to", "inside", "start_s [s]", "duration_s [s]", "initial_rtt_s [s]"]
        + [f"{name} [{_UNITS.get(name, 's')}]" for name in _METRICS]
        + [f"{name} [1]" if "bytes" not in name else f"{name} [B]" for name in _COUNTS]
        + ["silence_start_s [s]", "silence_s [s]", "silence_low_s [s]", "refused [1]", "refused_by", "refused_why"]
    )
    for flow in qos.flows:
        for way in flow.directions:
            longest = way.silences[0] if way.silences else None
            writer.writerow(
                [flow.protocol, way.sender, way.receiver, " / ".join(flow.inside), flow.start_s, flow.duration_s]
                + [flow.initial_rtt.value]
                + [way.metrics[name].value for name in _METRICS]
                + [way.counts.get(name) for name in _COUNTS]
                + ([longest.start_s, longest.length_s, longest.low_s] if longest else [None] * 3)
                + [sum(refusal.count for refusal in way.refusals)]
                + ([way.refusals[0].by, way.refusals[0].why] if way.refusals else [None] * 2)
            )
    return out.getvalue()
