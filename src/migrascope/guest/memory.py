"""Memory of the guest: the witness of whether it came through whole, what a migration must carry, the page cache.

Runs in the guest, on python3-minimal.
"""

import os

from migrascope.guest.steps import Steps

PAGE = 4096
PAGES = 3072
# 40 pages a second are 0.16 MB/s: under the 0.5 MB/s that all of our helpers in the guest may write.
PAGES_PER_TICK = 8
SLICE = 64
VIDEOS = "/srv/site/video"


def pattern(page: int, generation: int) -> bytes:
    """What a page of the witness holds: its number and generation, mixed and repeated."""
    mixed = (page * 0x9E3779B97F4A7C15 + generation * 0xC2B2AE3D27D4EB4F) & (2**64 - 1)
    return (page.to_bytes(4, "big") + generation.to_bytes(4, "big") + mixed.to_bytes(8, "big")) * (PAGE // 16)


class Witness:
    """Pages of known content, rewritten at random: a page that a migration lost or brought back stale shows."""

    def __init__(self, pages: int = PAGES, seed: int = 1) -> None:
        self.memory = bytearray(pages * PAGE)
        self.rewriting = True
        self.generations = [0] * pages
        self.rewritten = 0
        self._state = seed
        for page in range(pages):
            self._write(page)

    def _write(self, page: int) -> None:
        self.memory[page * PAGE : (page + 1) * PAGE] = pattern(page, self.generations[page])

    def rewrite(self, count: int) -> None:
        """Gives `count` pages chosen at random their next content."""
        for _ in range(count):
            self._state = (self._state * 6364136223846793005 + 1442695040888963407) & (2**64 - 1)
            page = (self._state >> 33) % len(self.generations)
            self.generations[page] += 1
            self._write(page)
            self.rewritten += 1

    def tick(self) -> None:
        """Rewrites some, unless it has been told to lie still."""
        if self.rewriting:
            self.rewrite(PAGES_PER_TICK)

    def check(self) -> Steps:
        """Compares every page, a slice at a time; each page with what it should hold at that moment."""
        bad = 0
        for page in range(len(self.generations)):
            if self.memory[page * PAGE : (page + 1) * PAGE] != pattern(page, self.generations[page]):
                bad += 1
            if page % SLICE == SLICE - 1:
                yield None
        yield 200, {"whole": bad == 0, "pages": len(self.generations), "rewritten": self.rewritten, "bad": bad}


class Resident:
    """Memory that a migration must carry: it is written once, then left alone."""

    def __init__(self) -> None:
        self.memory = bytearray()

    def fill(self, size: int) -> Steps:
        """Holds `size` bytes from now on, of random megabytes that differ in every page by its number."""
        self.memory = bytearray(size)
        block = bytearray(os.urandom(min(size, 2**20)))
        for start in range(0, size, len(block) or 1):
            for page in range(0, len(block), PAGE):
                block[page : page + 8] = (start + page).to_bytes(8, "big")
            self.memory[start : start + len(block)] = block[: size - start]
            yield None
        yield 200, {"bytes": len(self.memory)}


def _video_files() -> list[str]:
    return [os.path.join(folder, name) for folder, _, names in os.walk(VIDEOS) for name in names]


def _page_cache_bytes() -> int:
    with open("/proc/meminfo", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("Cached:"))


def cache(state: str) -> Steps:
    """Reads every video wholly (warm) or drops it from the page cache (cold).

    bytes: their size; page_cache_bytes: all that the cache holds afterwards, so that the difference shows.
    """
    total = 0
    for name in _video_files():
        handle = os.open(name, os.O_RDONLY)
        try:
            if state == "warm":
                while os.read(handle, 2**20):
                    yield None
            else:
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            total += os.fstat(handle).st_size
        finally:
            os.close(handle)
        yield None
    yield 200, {"state": state, "bytes": total, "page_cache_bytes": _page_cache_bytes()}
