"""A time in which nothing of a guest is heard."""

from dataclasses import dataclass

from migrascope.model.family import FIRST, Family


@dataclass
class Silence:
    """From start to end nothing of the guest is heard (mono ns; end None: it goes on), and for later_ns more nothing
    over IPv6. Packets that are sent before lost_until are lost (None: all), later ones come at its end. stands: the
    guest itself stands still."""

    start: int
    stands: bool
    lost_until: int | None = None
    end: int | None = None
    later_ns: int = 0

    def end_over(self, family: Family) -> int | None:
        """When it ends over an address family."""
        return self.end if self.end is None or family == FIRST else self.end + self.later_ns
