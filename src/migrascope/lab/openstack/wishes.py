"""What an instance of ours is made of in a cloud: names in it, and the tags by which we find our own again."""

from dataclasses import dataclass

TAG = "migrascope"


@dataclass(frozen=True)
class Wishes:
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
