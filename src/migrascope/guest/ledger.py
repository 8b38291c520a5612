"""The ledger: numbered records on the volume, each reported outside once it is there. Runs in the guest.

    to=192.0.2.30:7007 rate=5

A record is written and synced; only then does it go to the collector, again and again until that gives a receipt, which
the next record holds. So two copies of this guest, which must get different receipts, cannot write the same ledger.
The file is laid out in zeros ahead, so that a record costs one block and no journal.
"""

import os
import socket
import struct
import time

from migrascope.guest.workers import Status
from migrascope.model.witness import RECORD_BYTES, parse_record, record_line

PATH = "/var/lib/migrascope/ledger"
AHEAD_BYTES = 2**18
AGAIN_S = 0.2
SAID_S = 1.0


class Book:
    """The file. `number` is that of the last record in it."""

    def __init__(self, path: str, boot: str) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        self._boot = boot
        self._laid_out = os.fstat(self._file).st_size
        self.number = 0
        while parse_record(os.pread(self._file, RECORD_BYTES, self.number * RECORD_BYTES)):
            self.number += 1

    def append(self, receipt: int) -> bytes:
        """The next record, which is on the volume when this returns. OSError when it is not."""
        start = self.number * RECORD_BYTES
        if start + RECORD_BYTES > self._laid_out:
            os.pwrite(self._file, bytes(AHEAD_BYTES), self._laid_out)
            os.fsync(self._file)
            self._laid_out += AHEAD_BYTES
        line = record_line(self.number + 1, self._boot, receipt)
        os.pwrite(self._file, line, start)
        os.fdatasync(self._file)
        self.number += 1
        return line


def opened(host: str, port: int) -> socket.socket:
    """A way to the collector, on which nobody waits longer than AGAIN_S for a receipt."""
    stream = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    stream.connect((host, port))
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@qq", 0, round(AGAIN_S * 1e6)))
    return stream


def report(stream: socket.socket, line: bytes) -> int:
    """Sends a record until its receipt comes, and gives that. The collector answers "NUMBER RECEIPT"."""
    number = line[:12]
    while True:
        try:
            stream.send(line)
            until = time.monotonic() + AGAIN_S
            while time.monotonic() < until:
                answer = stream.recv(64)
                if answer.startswith(number):
                    return int(answer[13:21], 16)
        except BlockingIOError:
            continue  # nothing came in AGAIN_S
        except OSError:
            time.sleep(AGAIN_S)  # no way out, or nobody there: it may come back


def run(status: Status, options: dict[str, str]) -> None:
    """Writes `rate` records a second at most until it is killed. OSError when the volume takes no more."""
    host, _, port = options["to"].rpartition(":")
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        boot = file.read().strip().replace("-", "")
    os.makedirs(os.path.dirname(PATH), exist_ok=True)
    book = Book(PATH, boot)
    stream = opened(host, int(port))
    interval, receipt = 1 / float(options["rate"]), 0
    due, said = time.monotonic(), 0.0
    while True:
        receipt = report(stream, book.append(receipt))
        if time.monotonic() >= said + SAID_S:
            said = time.monotonic()
            status.write("running", book.number * RECORD_BYTES, book.number)
        due = max(due + interval, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))
