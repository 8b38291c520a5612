"""A link that loses frames at random, or those that announce an instance."""

from ipaddress import IPv4Address

from migrascope.lab.injectors.lab_links import LabLinks
from migrascope.node.loss import Loss, Segments, announcements, at_random


class LinkLoss:
    """Loses a share (0 to 1) of the frames that nodes send to a link, and of those that they get from it."""

    def __init__(
        self, lab_links: LabLinks, link: str, nodes: list[str], share: float, *, from_node: bool, to_node: bool
    ) -> None:
        self._fabric, self._link, self._share = lab_links.fabric, lab_links.links[link], share
        ports = [self._link.ports[node].port for node in nodes]
        self._comes_from, self._goes_to = ports if from_node else [], ports if to_node else []
        self._loss: Loss | None = None
        self._segments: list[Segments] = []

    async def arm(self) -> None:
        self._loss = Loss(self._fabric, at_random(self._comes_from, self._goes_to, self._share))
        self._segments = [Segments(port.namespace, port.link) for port in self._link.ports.values()]

    async def apply(self) -> str:
        """Frames are single ones from here on, so that each is lost or not."""
        assert self._loss is not None
        for segments in self._segments:
            segments.set(whole=False)
        self._loss.set(losing=True)
        return ""

    async def heal(self) -> None:
        segments, self._segments = self._segments, []
        loss, self._loss = self._loss, None
        if loss is not None:
            loss.close()
        for segment in segments:
            segment.set(whole=True)
            segment.close()


class AnnouncementLoss:
    """Loses what nodes of a link send to announce an instance of an address; all else passes."""

    def __init__(self, lab_links: LabLinks, link: str, nodes: list[str], address: str) -> None:
        self._fabric, self._address = lab_links.fabric, IPv4Address(address)
        self._ports = [lab_links.links[link].ports[node].port for node in nodes]
        self._loss: Loss | None = None

    async def arm(self) -> None:
        self._loss = Loss(self._fabric, announcements(self._ports, self._address))

    async def apply(self) -> str:
        assert self._loss is not None
        self._loss.set(losing=True)
        return ""

    async def heal(self) -> None:
        loss, self._loss = self._loss, None
        if loss is not None:
            loss.close()
