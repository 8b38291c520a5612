"""Fragments of IP packets (RFC 791, 8200): those behind the first belong to its flow, though they name no port."""

import numpy as np

from migrascope.store.pcap.layers import Bools, Headers

MOST_OPEN = 1 << 14
Key = tuple[bytes, int, int]


class Reassembly:
    """The first fragments of late; the oldest are forgotten."""

    def __init__(self) -> None:
        self._open: dict[Key, tuple[int, int, int, int, int]] = {}

    def join(self, headers: Headers, measured: Bools) -> Bools | None:
        """Gives the later fragments of a batch their flow; says which they are, None where there is none. measured: the
        packets that are of a flow by themselves."""
        found = headers.fragments
        if not len(found.rows):
            return None
        joined = np.zeros(len(headers), dtype=np.bool_)
        order = np.argsort(found.rows, kind="stable")
        for row, ident, first, length in zip(
            found.rows[order].tolist(), found.idents[order].tolist(), found.first[order].tolist(),
            found.length[order].tolist(), strict=True,
        ):  # fmt: skip
            at, four = int(headers.network[row]), headers.version[row] == 4
            ends = headers.frames.data[at + 12 : at + 20] if four else headers.frames.data[at + 8 : at + 40]
            key = (ends.tobytes(), ident, int(headers.said[row]))
            if first and measured[row]:
                self._open[key] = (
                    int(headers.source[row]), int(headers.target[row]), int(headers.source_port[row]),
                    int(headers.target_port[row]), int(headers.protocol[row]),
                )  # fmt: skip
                if len(self._open) > MOST_OPEN:
                    del self._open[next(iter(self._open))]
            elif not first and key in self._open:
                source, target, source_port, target_port, protocol = self._open[key]
                headers.source[row], headers.target[row] = source, target
                headers.source_port[row], headers.target_port[row] = source_port, target_port
                headers.protocol[row], headers.payload[row] = protocol, length
                joined[row] = True
        return joined
