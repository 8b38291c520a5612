"""What a lab gives to trials whose guests are sampled before they migrate."""

from typing import Any, Protocol, runtime_checkable

from migrascope.lab.contract import Instance


@runtime_checkable
class Sampled(Instance, Protocol):
    """An instance whose memory can be looked at while it runs."""

    async def dirtied(self, period_s: float, pages: int) -> dict[str, Any]:
        """QEMU's answer to query-dirty-rate, once it has looked at so many pages of each GiB twice, a period apart.
        Problem where it cannot."""

    def filled(self, pages: int) -> int:
        """Of so many of its pages at random, how many hold something but zeros. Problem where nobody can know."""
