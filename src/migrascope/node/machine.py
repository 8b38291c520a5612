"""Which machine's runs made a thing that is elsewhere: the tag that it has there."""

import hashlib
import os
import secrets
from pathlib import Path

from migrascope.node.paths import STATE

TAG = "migrascope"
MACHINE = STATE / "machine"


def machine_tag(own: Path = MACHINE) -> str:
    """What marks the resources that runs on this machine made, without naming it.

    A copy of a machine has its machine-id, and two containers may have the same one or none; so there is a number of
    our own beside it, made when it is first asked for.
    """
    if not own.exists():
        own.parent.mkdir(parents=True, exist_ok=True)
        part = own.with_suffix(f".{os.getpid()}")
        part.write_text(secrets.token_hex(16))
        try:
            os.link(part, own)  # of two that make one, both use the first
        except FileExistsError:
            pass
        finally:
            part.unlink()
    identity = Path("/etc/machine-id").read_bytes() if Path("/etc/machine-id").exists() else b""
    return f"{TAG}-{hashlib.sha256(b'migrascope ' + identity + own.read_bytes()).hexdigest()[:12]}"
