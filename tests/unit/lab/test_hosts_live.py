"""A guest of ours on hosts of others without any: an address that its network gives it, and the live stream that is
served for it."""

import errno
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from migrascope.cli.main import app
from migrascope.lab.boot_image import BootImage
from migrascope.lab.hosts import guest as guests
from migrascope.lab.hosts import way
from migrascope.lab.hosts.guest import GuestFiles, NoAddress, OurGuest, address_in, addresses6_in, console_of
from migrascope.lab.hosts.origin import origin_of
from migrascope.lab.hosts.pair import Pair
from migrascope.lab.hosts.pool import Pool
from migrascope.lab.hosts.way import own_towards6
from migrascope.lab.libvirt.connection import Connection, LibvirtError
from migrascope.lab.libvirt.domain import DomainSpec
from migrascope.model.family import FIRST, SECOND, Family
from migrascope.model.hosts import ORIGIN_PORT, GuestPlan, HostsPlan
from migrascope.model.policy import Policy
from migrascope.model.problem import Problem
from migrascope.node.namespace import has_ipv6
from migrascope.node.process import Where

URIS = ["qemu+ssh://a/system", "qemu+ssh://b/system"]
BOTH: tuple[Family, ...] = (FIRST, SECOND)
MADE = "migrascope: address6 20010db8000000000000000000000061\r\n"
MORE = f"{MADE.strip()} fd4d6967726100040000000000000061\r\n"
BOOTED = "migrascope: module crc was not loaded\r\nmigrascope: address 192.0.2.61\r\n"


def plan_of(**changes: Any) -> GuestPlan:
    given = {"pool": "default", "bridge": "br0", "address": "192.0.2.50/24"}
    return GuestPlan.model_validate(given | changes)


def test_the_origin_is_where_this_machine_reaches_the_guest_from_unless_the_plan_says_another() -> None:
    here = plan_of(address="127.0.0.2/8")
    assert origin_of(here) == ("127.0.0.1", ORIGIN_PORT)
    assert origin_of(plan_of(origin="192.0.2.9")) == ("192.0.2.9", ORIGIN_PORT)
    assert origin_of(plan_of(origin="192.0.2.9:8080")) == ("192.0.2.9", 8080)


def test_an_address_of_this_machine_is_no_guest_s() -> None:
    with pytest.raises(Problem, match=r"127\.0\.0\.1 is this machine's own\n  next: libvirt\.guest\.address"):
        origin_of(plan_of(address="127.0.0.1/8"))


@pytest.mark.skipif(not has_ipv6(), reason="this machine's kernel has no IPv6")
def test_an_address_of_this_machine_s_ipv6_is_no_guest_s_either() -> None:
    with pytest.raises(Problem, match=r"::1 is this machine's own\n  next: libvirt\.guest\.address6, with one that"):
        own_towards6("::1")


def test_without_a_way_to_the_guest_there_is_no_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(towards: str) -> str:
        raise OSError(errno.ENETUNREACH, "Network is unreachable")

    monkeypatch.setattr(way, "own_address", none)
    with pytest.raises(Problem, match=r"no way from this machine to the guest, 192\.0\.2\.50: Network is unreachable"):
        origin_of(plan_of())


def test_a_plan_says_where_it_will_listen_and_for_whom(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (
        f'[lab]\nkind = "libvirt"\n[libvirt]\nhosts = {URIS}\n[libvirt.guest]\npool = "p"\nbridge = "b"\n'
        'address = "192.0.2.50/24"\n[axes]\nscenario = ["{}"]\n'
    )
    monkeypatch.setattr(way, "own_address", lambda towards: "192.0.2.7")
    assert shown(tmp_path, text.replace("{}", "none"), capsys).count("listens") == 0
    found = shown(tmp_path, text.replace("{}", "relay"), capsys)
    assert f"listens meanwhile: 192.0.2.7:{ORIGIN_PORT} (the live stream" in found
    assert "for its guest alone" in found
    monkeypatch.setattr(way, "own_address", lambda towards: towards)
    found = shown(tmp_path, text.replace("{}", "relay"), capsys)
    assert "missing here: 192.0.2.50 is this machine's own; libvirt.guest.address" in found


def test_a_plan_says_that_no_way_leads_to_its_address_of_ipv6(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], ways: list[str]
) -> None:
    text = (
        f'families = ["ipv4", "ipv6"]\n[lab]\nkind = "libvirt"\n[libvirt]\nhosts = {URIS}\n[libvirt.guest]\n'
        'pool = "p"\nbridge = "b"\naddress = "192.0.2.50/24"\naddress6 = "2001:db8::50/64"\n'
        '[axes]\nscenario = ["none"]\n'
    )
    said = "no way from this machine to the guest, 2001:db8::50: Network is unreachable; ip route get 2001:db8::50"
    assert f"missing here: {said}, or leave ipv6 out of families" in shown(tmp_path, text, capsys)
    ways.append("2001:db8::50")
    assert "missing here: nothing" in shown(tmp_path, text, capsys)


def shown(folder: Path, text: str, capsys: pytest.CaptureFixture[str]) -> str:
    (folder / "plan.toml").write_text(text)
    assert app(["plan", str(folder / "plan.toml")], result_action="return_value") == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("console", "address"),
    [
        (BOOTED, "192.0.2.61"),
        (BOOTED + "migrascope: address 192.0.2.62\n", "192.0.2.62"),
        ("migrascope: address 127.0.0.1\n", ""),
        ("migrascope: address 192.0.2", ""),
        ("it says migrascope: address 192.0.2.61", ""),
        ("", ""),
    ],
)
def test_an_address_by_dhcp_is_the_last_on_the_console(console: str, address: str) -> None:
    assert address_in(console) == address


class Libvirt(Connection):
    """A host's libvirt that gives the console of one domain: each time it is asked, the next text, None for no file."""

    def __init__(self, host: str, *consoles: str | None) -> None:
        super().__init__(host)
        self.consoles, self.done = list(consoles), list[str]()

    async def call(self, name: str, *args: Any, on: Any = None, timeout_s: float | None = 20.0) -> Any:
        self.done.append(name)
        match name:
            case "fetch":
                text = self.consoles.pop(0) if len(self.consoles) > 1 else self.consoles[0]
                if text is None:
                    raise LibvirtError(f"{self.host}: no such volume")
                Path(args[0]).write_text(text)
            case "listVolumes":
                return []
            case "state":
                raise LibvirtError(f"{self.host}: Domain not found")
            case "path":
                return "/srv/x"
        return None


def our_guest(folder: Path, plan: GuestPlan, *consoles: str | None, families: Sequence[Family] = (FIRST,)) -> OurGuest:
    """On host a, whose console says that; host b has none."""
    disk = folder / "disk"
    disk.write_bytes(b"x")
    spec = DomainSpec(
        "ours", "ms000001", 2**29, 1, BootImage(disk, disk, disk, ""), "tcg", Path("/srv/ours"), "52:54:00:00:00:01",
        "", plan.link, Path("/srv") / console_of("ours"),
    )  # fmt: skip
    a, b = Libvirt("a", *consoles), Libvirt("b", None)
    pair = Pair({"a": a, "b": b}, URIS)
    pools = {host: Pool(connection, "default") for host, connection in pair.connections.items()}
    theirs = HostsPlan(hosts=URIS, guest=plan)
    files = GuestFiles(disk, "/srv/b", Where())
    return OurGuest(pair, theirs, pools, spec, Policy(), "a", files, folder, "python3", families)


async def test_a_guest_without_an_address_of_the_plan_s_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guests, "_LOOK_S", 0.001)
    made = our_guest(tmp_path, plan_of(address=""), None, "migrascope: module", BOOTED)
    assert made.address == ""
    await made.start(10)
    assert made.address == "192.0.2.61"


@pytest.mark.parametrize(
    ("console", "addresses"),
    [
        (MADE, ["2001:db8::61"]),
        (MORE, ["2001:db8::61", "fd4d:6967:7261:4::61"]),
        (MADE + "migrascope: address6 20010db8000000000000000000000062\n", ["2001:db8::62"]),
        ("migrascope: address6 fe800000000000000000000000000061\n", []),
        (MADE[:40], []),
        (f"it says {MADE}", []),
        (BOOTED, []),
    ],
)
def test_addresses_of_what_a_router_advertises_are_the_last_on_the_console(console: str, addresses: list[str]) -> None:
    assert addresses6_in(console) == addresses
    assert address_in(console) == ("192.0.2.61" if console == BOOTED else "")


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """To which addresses this machine knows one; the guest is looked at without waiting."""
    known = list[str]()

    def own(towards: str) -> str:
        if towards in known:
            return "2001:db8::9"
        raise OSError(errno.ENETUNREACH, "Network is unreachable")

    monkeypatch.setattr(way, "own_address", own)
    monkeypatch.setattr(guests, "_LOOK_S", 0.001)
    return known


async def test_both_addresses_are_waited_for_where_the_network_gives_them(tmp_path: Path, ways: list[str]) -> None:
    ways.append("2001:db8::61")
    made = our_guest(tmp_path, plan_of(address=""), None, MADE, BOOTED, MADE + BOOTED, families=BOTH)
    await made.start(10)
    assert (made.address, made.address6) == ("192.0.2.61", "2001:db8::61")


async def test_one_to_which_a_way_leads_is_taken(tmp_path: Path, ways: list[str]) -> None:
    ways.append("fd4d:6967:7261:4::61")
    made = our_guest(tmp_path, plan_of(), "", MORE, families=BOTH)
    await made.start(10)
    assert (made.address, made.address6) == ("192.0.2.50", "fd4d:6967:7261:4::61")


async def test_without_a_way_to_any_it_says_so(tmp_path: Path, ways: list[str]) -> None:
    made = our_guest(tmp_path, plan_of(), MORE, families=BOTH)
    with pytest.raises(
        NoAddress,
        match="no way from this machine to the guest, 2001:db8::61: Network is unreachable\n"
        "  next: ip route get 2001:db8::61, or leave ipv6 out of families",
    ):
        await made.start(10)


async def test_without_a_router_it_says_who_could_help(tmp_path: Path) -> None:
    made = our_guest(tmp_path, plan_of(), "it boots", families=BOTH)
    with pytest.raises(
        NoAddress,
        match=r"not in 0 s: the guest has an IPv6 address of what a router advertises; serial console: it boots\n"
        r"  next: a router on the bridge br0 of a that advertises .* libvirt\.guest\.address6, one that nobody else has"
        ", or leave ipv6 out of families",
    ):
        await made.start(0)


async def test_an_address_of_the_plan_s_is_not_waited_for(tmp_path: Path) -> None:
    made = our_guest(tmp_path, plan_of(address6="2001:DB8:0::50/64"), None, families=BOTH)
    await made.start(0)
    assert (made.address, made.address6) == ("192.0.2.50", "2001:db8::50")


async def test_with_both_families_this_machine_s_neighbours_are_recorded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beside = ["2001:db8::50"]
    monkeypatch.setattr(guests, "on_our_link", lambda address: address in beside)
    made = our_guest(tmp_path, plan_of(address6="2001:db8::50/64"), None, families=BOTH)
    await made.start(0)
    (neighbours,) = [each for each in made.watchers(0.1) if each.source == "neighbours"]
    assert neighbours.namespace is None
    assert neighbours.config["tables"] == [
        {"place": "client", "node": "client", "paths": [""], "addresses": ["192.0.2.50", "2001:db8::50"]}
    ]
    assert [each.source for each in made.watchers(0)] == ["libvirt"]
    assert [each.source for each in our_guest(tmp_path, plan_of(), None).watchers(0.1)] == ["libvirt"]
    beside.clear()  # behind a router
    await made.start(0)
    assert [each.source for each in made.watchers(0.1)] == ["libvirt"]


async def test_who_gets_no_address_says_so_with_its_last_words(tmp_path: Path) -> None:
    made = our_guest(tmp_path, plan_of(address=""), "udhcpc: no lease")
    with pytest.raises(Problem, match=r"console: udhcpc: no lease\n  next: a DHCP server on the bridge br0 of a"):
        await made.start(0)


async def test_a_guest_with_an_address_of_the_plan_s_is_not_asked_for_one(tmp_path: Path) -> None:
    made = our_guest(tmp_path, plan_of(), None)
    await made.start(0)
    assert made.address == "192.0.2.50"


async def test_its_stream_is_served_for_it_alone_until_it_is_destroyed(tmp_path: Path) -> None:
    served = list[tuple[str, Path]]()
    reasons = list[str]()

    class Origin:
        def __init__(self, address: str, folder: Path) -> None:
            self.whose = address, folder

        async def __aenter__(self) -> Callable[[], str | None]:
            served.append(self.whose)
            return lambda: next(iter(reasons), None)

        async def __aexit__(self, *_: object) -> None:
            served.remove(self.whose)

    made = our_guest(tmp_path, plan_of(), None)
    await made.start(0)
    assert made.problem() is None
    await made.stream(Origin)
    assert served == [("192.0.2.50", tmp_path / "origin")]
    assert made.problem() is None
    reasons.append("origin's nginx was killed by SIGKILL")
    assert made.problem() == "origin's nginx was killed by SIGKILL"
    await made.destroy()
    assert served == []
