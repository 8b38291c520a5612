"""What an instance of ours is made of in a cloud: names in it, and the marks by which we find our own again."""

from collections.abc import Iterable
from dataclasses import dataclass

from migrascope.model.family import FIRST, Family
from migrascope.node.machine import TAG


@dataclass(frozen=True)
class InstanceRequest:
    """image, flavor, network, external: names or ids in the cloud; empty: found there. families: over which it is
    reached. run: the tag of this run, on everything that it makes. machine: the tag of the machine that runs it."""

    run: str
    machine: str
    image: str = ""
    flavor: str = ""
    network: str = ""
    external: str = ""
    families: tuple[Family, ...] = (FIRST,)

    @property
    def tags(self) -> list[str]:
        return [TAG, self.machine, self.run]

    @property
    def mark(self) -> str:
        """The tags as a description, for what has its tags only after it is made."""
        return " ".join(self.tags)


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
