"""A migration by QEMU's own loop, computed ahead from what is known before it begins."""

from migrascope.mechanism import copying
from migrascope.mechanism.copying import Copy, Course, Part, Way
from migrascope.mechanism.rules import EMPTY_BPS, HEADER, PAGE, TOP_BYTES, TOP_SHARE, Judge
from migrascope.predict.parameters import Parameters
from migrascope.predict.request import Request


def course(request: Request, parameters: Parameters = Parameters()) -> Course:  # noqa: B008
    """How a migration goes. Constant but for what the request says: the link's rate, and what the guest writes."""
    return copying.course(_at_request(request, parameters))


def _at_request(request: Request, parameters: Parameters) -> Copy:
    """Nothing has gone over, and all of the memory is to be sent."""
    guest, settings, lead_s = request.guest, request.settings, parameters.lead_s
    link, rate = parameters.speed * request.link_Bps, request.sent_Bps(parameters.speed)
    slowest_s = 1 / settings.channel_Bps if settings.channel_Bps else 0.0

    def way(wire: float, least_s: float = 0.0) -> Way:
        cost_s = max(wire / rate, least_s)
        return Way(wire, cost_s, cost_s - max(wire / link, least_s))

    dirtying = guest.dirtying.times(parameters.dirty)
    held = max(guest.held_bytes, dirtying.size)
    first, zero = way(settings.wire + HEADER / PAGE, slowest_s), way((HEADER + 1) / PAGE)
    # the top holds what is never written, as far as there is as much
    still, top = held - dirtying.size, min(held, TOP_SHARE * guest.memory_bytes + TOP_BYTES)
    behind = min(still, top)
    share = (top - behind) / dirtying.size if top > behind else 0.0
    parts = [
        Part(still, first, None, still - behind, behind),
        *(Part(each.size, first, each, (1 - share) * each.size, share * each.size) for each in dirtying.sets),
        Part(max(0.0, guest.memory_bytes - held), zero._replace(cost_s=zero.cost_s + 1 / EMPTY_BPS)),
    ]
    again = way(settings.again + HEADER / PAGE, slowest_s)
    copy = Copy(settings.rules, parts, again, parameters.pause_s, lead_s, lead_s, lead_s, Judge(lead_s))
    # a bound lets the buffers run empty: what a tenth of a second may send has gone over when that is over
    backlog_bytes = settings.connections * parameters.backlog_bytes if rate == link else 0.0
    queued_s = copy.take(backlog_bytes / link)
    copy.settle_s += queued_s
    copy.queued_s = 0.0 if settings.preempts else queued_s  # with preempt it has a connection of its own
    return copy
