"""Steady load in the guest: one process, one kind of work, at a set rate. Runs in the guest, on python3-minimal.

    kind=memory rate=160000000 set=268435456 pattern=random    dirties memory; bytes = pages touched x 4096
    kind=disk-write rate=4000000 set=67108864 block=65536 sync=1
    kind=disk-read  rate=4000000 set=67108864 block=65536      from the volume: what was read leaves the page cache
    kind=network to=192.0.2.30:9009 rate=12000000              TCP to whoever swallows it
    kind=cpu                                                   one processor, as much as it gets

Without a rate it works as fast as it can. Patterns of memory: random, sequential, hot (nine tenths of the writes in a
tenth of the set) write whole pages that nothing compresses; few writes 8 bytes of random pages. What could not be done
in time is given up, not made up for: the rate that was reached is in the status, the rate that was asked for is not.
"""

import array
import itertools
import os
import random
import socket
import time
from collections.abc import Callable, Iterator, Sequence

from migrascope.guest.workers import Status

PAGE = 4096
# malloc maps a block of this size by itself, behind a header of 16 bytes: here its first whole page begins.
FIRST_PAGE = PAGE - 16
CONTENTS = 4093  # prime: a page that is written in every round gets another content each time
VOLUME = "/var/lib/migrascope"
BATCH_BYTES = 2**20
LATE_S = 0.05
TICK_S = 0.005
STATUS_S = 0.2
Options = dict[str, str]
# Does so many operations, and says how many bytes that were.
Work = Callable[[int], int]


def pace(rate: float, clock: Callable[[], float], sleep: Callable[[float], None]) -> Iterator[int]:
    """How many operations to do now, `rate` of them a second; at most LATE_S worth at once, the rest is given up."""
    start, done, most = clock(), 0, max(1, int(rate * LATE_S))
    while True:
        elapsed = clock() - start
        due = int(elapsed * rate) - done
        if due <= 0:
            sleep(max(TICK_S, (done + 1) / rate - elapsed))
            continue
        if due > most:
            start += (due - most) / rate
            due = most
        yield due
        done += due


def pages_of(pattern: str, pages: int, words: Sequence[int]) -> list[int]:
    """The pages to write, one for each random 32-bit word; sequential ones follow from the first word."""
    if pattern == "sequential":
        return [(words[0] + at) % pages for at in range(len(words))]
    if pattern == "hot":
        hot = max(1, pages // 10)
        return [word % hot if word >> 16 < 58982 else word % pages for word in words]
    return [word % pages for word in words]


def memory(options: Options) -> tuple[int, Work]:
    """Holds `set` bytes and writes pages of them."""
    pages, pattern = int(options["set"]) // PAGE, options["pattern"]
    if pages < 1 or pattern not in ("random", "sequential", "hot", "few"):
        raise ValueError(f"no memory work of {pages} pages in the pattern {pattern}")
    size = 8 if pattern == "few" else PAGE
    contents = [bytearray(os.urandom(size)) for _ in range(CONTENTS)]
    held = bytearray((pages + 1) * PAGE)
    for page in range(pages):
        start = FIRST_PAGE + page * PAGE
        held[start : start + size] = contents[page % CONTENTS]
    draw = random.Random(1).getrandbits
    at = pages + 1

    def work(count: int) -> int:
        nonlocal at
        if pattern == "sequential":
            words = array.array("I", [at % pages]) * count
        else:
            words = array.array("I", draw(32 * count).to_bytes(4 * count, "little"))
        for page in pages_of(pattern, pages, words):
            start = FIRST_PAGE + page * PAGE
            held[start : start + size] = contents[at % CONTENTS]
            at += 1
        return count * PAGE

    return PAGE, work


def _file(options: Options) -> tuple[int, int, int]:
    """(handle, blocks, bytes of a block) of a file without a name, filled with random bytes and on the volume."""
    block = int(options.get("block", "65536"))
    blocks = int(options["set"]) // block
    if blocks < 1:
        raise ValueError("the set is smaller than a block")
    handle = os.open(VOLUME, os.O_RDWR | os.O_TMPFILE, 0o600)
    for _ in range(blocks):
        os.write(handle, os.urandom(block))
    os.fsync(handle)
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    return handle, blocks, block


def disk_write(options: Options) -> tuple[int, Work]:
    """Writes random blocks of a file; sync=1: each is on the volume before the next."""
    handle, blocks, block = _file(options)
    contents = [os.urandom(block) for _ in range(16)]
    turn = itertools.cycle(contents)
    sync = options.get("sync") == "1"

    def work(count: int) -> int:
        for _ in range(count):
            os.pwrite(handle, next(turn), random.randrange(blocks) * block)
            if sync:
                os.fsync(handle)
        return count * block

    return block, work


def disk_read(options: Options) -> tuple[int, Work]:
    """Reads random blocks of a file from the volume."""
    handle, blocks, block = _file(options)
    os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_RANDOM)

    def work(count: int) -> int:
        done = 0
        for _ in range(count):
            start = random.randrange(blocks) * block
            done += len(os.pread(handle, block, start))
            os.posix_fadvise(handle, start, block, os.POSIX_FADV_DONTNEED)
        return done

    return block, work


def network(options: Options) -> tuple[int, Work]:
    """Sends to whoever listens at `to`."""
    host, _, port = options["to"].rpartition(":")
    stream = socket.create_connection((host, int(port)), timeout=10)
    stream.settimeout(None)
    content = os.urandom(16384)

    def work(count: int) -> int:
        for _ in range(count):
            stream.sendall(content)
        return count * len(content)

    return len(content), work


def cpu(_: Options) -> tuple[int, Work]:
    """Counts; an operation is 10000 steps."""

    def work(count: int) -> int:
        for _ in range(10000 * count):
            pass
        return 0

    return BATCH_BYTES, work


KINDS = {"memory": memory, "disk-write": disk_write, "disk-read": disk_read, "network": network, "cpu": cpu}


def run(status: Status, options: Options) -> None:
    """Works until it is killed. KeyError or ValueError for options that mean nothing, OSError where it cannot go on."""
    status.write("preparing")
    unit, work = KINDS[options["kind"]](options)
    if "rate" in options:
        turns = pace(float(options["rate"]) / unit, time.monotonic, time.sleep)
    else:
        turns = itertools.repeat(max(1, BATCH_BYTES // unit))
    done, operations, said = 0, 0, -STATUS_S
    for count in turns:
        done += work(count)
        operations += count
        if time.monotonic() - said >= STATUS_S:
            said = time.monotonic()
            status.write("running", done, operations)
