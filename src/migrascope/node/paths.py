"""Where things lie on this machine: state of running labs and of testbeds, and the cache of images."""

from pathlib import Path

STATE = Path("/var/lib/migrascope")
CACHE = Path("/var/cache/migrascope")
LABS = STATE / "labs"
TESTBEDS = STATE / "testbeds"
