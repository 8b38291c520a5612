"""STAMP's packets matched with their answers, as plain arrays."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from migrascope.metrics.packets import Bools, Ints, arrivals, sent_of
from migrascope.store.recording import Recording

NONE = -1


@dataclass(frozen=True)
class Answers:
    """Every answer that came, one row for each, in the order of `number`, the reflector's own count: seq of the packet
    that it answers, when that came to the reflector and when it answered (ns, the reflector's wall clock), when it
    arrived (mono ns)."""

    seq: Ints
    number: Ints
    reflector_recv_ns: Ints
    reflector_sent_ns: Ints
    arrived_ns: Ints


@dataclass(frozen=True)
class Probes:
    """Packets by their seq, which is the order in which they were sent. end_ns: where recording
    ended."""

    seq: Ints
    sent_ns: Ints
    answers: Answers
    end_ns: int

    @classmethod
    def of(cls, recording: Recording, end_ns: int) -> "Probes":
        """The recording's."""
        sent = recording.table("stamp_sent").sort("seq")
        seq, sent_ns = sent["seq"].to_numpy(), sent["sent_ns"].to_numpy()
        replies = recording.table("stamp_reply").unique(["seq", "number"], keep="first").sort("number", "recv_ns")
        arrived = replies["recv_ns"].to_numpy()
        if replies.height and sent.height:
            asked = sent_of(seq, sent_ns, replies["seq"].to_numpy(), arrived)
            arrived = arrivals(recording.wall_clock, replies["recv_wall_ns"].to_numpy(), asked, arrived)
        answers = Answers(
            replies["seq"].to_numpy(),
            replies["number"].to_numpy(),
            replies["reflector_recv_wall_ns"].to_numpy(),
            replies["reflector_sent_wall_ns"].to_numpy(),
            arrived,
        )
        return cls(seq, sent_ns, answers, end_ns)

    @cached_property
    def row(self) -> Ints:
        """For each packet the row of the first answer to it, NONE without one."""
        row = np.full(len(self.seq), NONE, dtype=np.int64)
        order = np.lexsort((self.answers.arrived_ns, self.answers.seq))
        names, at = np.unique(self.answers.seq[order], return_index=True)
        place = np.searchsorted(names, self.seq)
        known = np.append(names, NONE)[place] == self.seq
        row[known] = order[at[place[known]]]
        return row

    @property
    def answered(self) -> Bools:
        """Which packets have an answer."""
        return np.asarray(self.row != NONE, dtype=np.bool_)

    def of_answer(self, values: Ints) -> Ints:
        """Values of the answers, in the packets' order; 0 where there is no answer."""
        if not len(values):
            return np.zeros(len(self.row), dtype=np.int64)
        return np.where(self.answered, values[self.row], 0)
