"""What an instance of ours is made of in a cloud: names in it, and the marks by which we find our own again."""

import hashlib
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from migrascope.node.paths import STATE

TAG = "migrascope"
MACHINE = STATE / "machine"


@dataclass(frozen=True)
class InstanceRequest:
    """image, flavor, network, external: names or ids in the cloud; empty: found there. run: the tag of this run, on
    everything that it makes. machine: the tag of the machine that runs it."""

    run: str
    machine: str
    image: str = ""
    flavor: str = ""
    network: str = ""
    external: str = ""

    @property
    def tags(self) -> list[str]:
        return [TAG, self.machine, self.run]

    @property
    def mark(self) -> str:
        """The tags as a description, for what has its tags only after it is made."""
        return " ".join(self.tags)


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


@dataclass(frozen=True)
class OwnerTags:
    """Which run on which machine made a thing; empty where it is no run's, or no machine's that we know."""

    run: str
    machine: str

    @classmethod
    def of(cls, tags: Iterable[str]) -> "OwnerTags | None":
        """What these tags say; None where the thing is not ours."""
        found = set(tags)
        if TAG not in found:
            return None
        machine = next((tag for tag in found if tag.startswith(f"{TAG}-")), "")
        run = next((tag for tag in found - {TAG, machine} if tag.startswith("ms")), "")
        return cls(run, machine)
