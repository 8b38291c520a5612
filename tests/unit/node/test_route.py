"""The way from this machine to an address, of either family."""

import errno

import pytest
from pyroute2.netlink.exceptions import NetlinkError

from migrascope.node import route
from migrascope.node.namespace import has_ipv6
from migrascope.node.route import on_our_link, own_address

needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine's kernel has no IPv6")


@pytest.mark.parametrize(("towards", "own"), [
    ("127.0.0.2", "127.0.0.1"), pytest.param("::1", "::1", marks=needs_ipv6),
])  # fmt: skip
def test_its_own_address_is_of_the_family_that_it_sends_over(towards: str, own: str) -> None:
    assert own_address(towards) == own


@pytest.mark.parametrize("address", ["127.0.0.2", pytest.param("::1", marks=needs_ipv6)])
def test_what_is_this_machine_s_own_is_in_no_neighbour_table(address: str) -> None:
    assert not on_our_link(address)


def test_where_no_way_leads_the_kernel_s_words_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(routes: object, address: str) -> None:
        raise NetlinkError(errno.ENETUNREACH, "Network is unreachable")

    monkeypatch.setattr(route, "link_of", none)
    with pytest.raises(OSError, match="Network is unreachable") as refused:
        on_our_link("192.0.2.7")
    assert refused.value.errno == errno.ENETUNREACH
