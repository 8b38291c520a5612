"""What the guest's witnesses write, and how to tell a true entry: the chain of /alive and the records of the ledger.

The guest runs this module too, on python3-minimal: it imports zlib and nothing else.
"""

import zlib

RECORD_BYTES = 64
Record = tuple[int, str, int]
"""(number, boot id without dashes, receipt): receipt is what the collector gave for the record before, 0 for none."""


def chained(before: str, request_id: str) -> str:
    """The next hash of /alive: CRC-32 of the one before (8 hexadecimal digits, first 00000000) and the request's id."""
    return f"{zlib.crc32((before + request_id).encode()):08x}"


def record_line(number: int, boot: str, receipt: int) -> bytes:
    """A record of the ledger, 64 bytes: number, boot id, receipt, and the CRC-32 of these three, and a newline."""
    content = f"{number:012d} {boot:>32} {receipt:08x} "
    return f"{content}{zlib.crc32(content.encode()):08x}\n".encode()


def parse_record(line: bytes) -> Record | None:
    """The record in 64 bytes, or None when they are not a whole one."""
    try:
        number, boot, receipt, _ = line.decode("ascii").split()
        record = int(number), boot, int(receipt, 16)
    except ValueError:
        return None
    return record if record_line(*record) == line else None
