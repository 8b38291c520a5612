"""A guest of ours on hosts of others without any: what a plan may ask for, what is made there, and whose it is."""

from contextlib import nullcontext
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from migrascope.guest.image import kernel_line
from migrascope.lab.boot_image import BootImage
from migrascope.lab.hosts import marks
from migrascope.lab.hosts.lab import HostsLab, Live
from migrascope.lab.hosts.pair import Pair
from migrascope.lab.hosts.policy import refused_of_guest, request_of
from migrascope.lab.hosts.pool import Pool
from migrascope.lab.libvirt.connection import Connection, LibvirtError
from migrascope.lab.libvirt.domain import MARK, DomainSpec, xml
from migrascope.model.hosts import ORIGIN_PORT
from migrascope.model.policy import BUILT_IN, Policy
from migrascope.model.problem import Problem
from migrascope.model.schedule import schedule
from migrascope.study.plans import CLOUD_WINDOWS, Options, PlanError, load, parse, text_of

A, B = "qemu+ssh://a/system", "qemu+tls://b/system"
ON_HOSTS = Options(hosts=f"{A},{B}")
GUEST = """
[libvirt.guest]
pool = "default"
bridge = "br0"
address = "192.0.2.50/24"
gateway = "192.0.2.1"
"""
LEASED = "".join(line for line in GUEST.splitlines(keepends=True) if not line.startswith(("address", "gateway")))
DUAL = 'families = ["ipv4", "ipv6"]\n'
SIX = f'{GUEST}address6 = "2001:db8::50/64"\ngateway6 = "2001:db8::1"\n'
AXES = '[axes]\nscenario = ["none"]\n'
OURS, RUN, OTHERS = "migrascope-0123456789ab", "ms0a1b2c", "migrascope-ba9876543210"


def plan_of(tmp_path: Path, text: str) -> Any:
    path = tmp_path / "plan.toml"
    path.write_text(text)
    return load(str(path), ON_HOSTS)


def test_a_plan_for_a_guest_there_has_all_of_a_guest_and_nothing_of_the_links(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, f'{GUEST}[axes]\nscenario = ["none", "offline"]\nmemory = ["512MiB", "1GiB"]\n')
    assert (plan.lab.kind, plan.embedded, plan.foreign, plan.their_domain) == ("libvirt", False, True, False)
    assert (plan.probes.echo_rate, plan.visitors.most) == (50.0, 10.0)
    assert (plan.windows.limit, plan.windows.boot_limit) == (CLOUD_WINDOWS["limit"], CLOUD_WINDOWS["boot_limit"])
    assert {trial.factors.link_bps for trial in schedule(plan)} == {0.0}
    blocks = {trial.block: trial.source for trial in schedule(plan)}
    assert blocks[1] != blocks[2]
    assert parse(text_of(plan), "") == plan


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GUEST.replace('bridge = "br0"\n', "") + AXES, "bridge: a bridge or a network of libvirt's"),
        (GUEST + 'network = "default"\n' + AXES, "bridge: a bridge or a network of libvirt's"),
        (GUEST.replace("/24", "") + AXES, "no machine's IPv4 address with its prefix"),
        (GUEST.replace("192.0.2.50/24", "192.0.2.0/24") + AXES, "no machine's IPv4 address with its prefix"),
        (GUEST.replace("192.0.2.50/24", "127.0.0.2/8") + AXES, "no machine's IPv4 address with its prefix"),
        (GUEST.replace('"192.0.2.1"', '"198.51.100.1"') + AXES, "is not in the network"),
        (GUEST.replace('"default"', '"../etc"') + AXES, "no valid name"),
        (GUEST.replace('address = "192.0.2.50/24"\n', "") + AXES, "gateway: it comes with the address, by DHCP"),
        (GUEST + 'origin = "192.0.2.50"\n' + AXES, "origin: 192.0.2.50 is the guest's own address"),
        (GUEST + 'origin = "127.0.0.1"\n' + AXES, "no other machine reaches this one"),
        (GUEST + 'origin = "192.0.2.9:0"\n' + AXES, "no port from 1 to 65535"),
        (GUEST + 'origin = "192.0.2.9:80; }"\n' + AXES, "no port from 1 to 65535"),
        (LEASED + '[axes]\nscenario = ["none", "relay"]\n', "libvirt.guest.origin: relay need it where the guest"),
        (GUEST + AXES + 'link = ["100mbit"]\n', "axes.link: the links between hosts of others"),
        (GUEST + AXES + 'storage = ["shared", "copied"]\n', "axes.storage: a pool is shared, or each host has"),
        (GUEST + AXES + 'policy = ["tunnelled"]\n[policies.tunnelled]\ntunnelled = true\n', "libvirt.peer_to_peer"),
        (SIX + AXES, 'address6: the plan measures ipv4 alone: families = \\["ipv4", "ipv6"\\], or leave it out'),
        (DUAL + SIX.replace("::50/64", "::50") + AXES, "no machine's IPv6 address with its prefix"),
        (DUAL + SIX.replace("2001:db8::50", "2001:db8::") + AXES, "no machine's IPv6 address with its prefix"),
        (DUAL + SIX.replace("2001:db8::50", "fe80::50") + AXES, "no machine's IPv6 address with its prefix"),
        (DUAL + SIX.replace("2001:db8::50", "ff02::50") + AXES, "no machine's IPv6 address with its prefix"),
        (DUAL + SIX.replace("2001:db8::50", "2001:db8::50%a b") + AXES, "no machine's IPv6 address with its prefix"),
        (DUAL + SIX.replace("2001:db8::50/64", "192.0.2.51/24") + AXES, "no machine's IPv6 address with its prefix"),
        (DUAL + SIX.replace("2001:db8::1", "2001:db8:1::1") + AXES, "gateway6: 2001:db8:1::1 is neither in"),
        (DUAL + SIX.replace("2001:db8::1", "fe80::1%eth0") + AXES, "names a zone"),
        (DUAL + SIX.replace("2001:db8::1", "192.0.2.1") + AXES, "no IPv6 address"),
        (DUAL + SIX.replace('address6 = "2001:db8::50/64"\n', "") + AXES, "gateway6: it is of an address"),
        ("[libvirt]\nmay_restart = true\n" + GUEST + AXES, "may_restart: it is of a domain of theirs"),
        (
            GUEST + AXES + 'disturbance = ["cut"]\n[[disturbance]]\nname = "cut"\nkind = "link-down"\n'
            'target = "migration"\nwhen = "setup"\nduration = "1s"\n',
            "hosts of others are not disturbed",
        ),
    ],
)  # fmt: skip
def test_what_is_not_there_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(PlanError, match=words):
        plan_of(tmp_path, text)


def test_a_plan_with_the_live_stream_says_where_it_may_come_from(tmp_path: Path) -> None:
    online = '[axes]\nscenario = ["online", "relay"]\n'
    guest = plan_of(tmp_path, f'{LEASED}origin = "192.0.2.9:8080"\n{online}').libvirt.guest
    assert (guest.addressing(["ipv4"]), guest.origin_named) == ([("lease", "")], ("192.0.2.9", 8080))
    guest = plan_of(tmp_path, GUEST + online).libvirt.guest
    assert (guest.addressing(["ipv4"]), guest.origin_named) == ([("192.0.2.50/24", "192.0.2.1")], ("", ORIGIN_PORT))
    assert plan_of(tmp_path, LEASED + AXES).libvirt.guest.address == ""


@pytest.mark.parametrize(
    ("text", "second"),
    [
        (SIX, "ms.address6=2001:db8::50/64 ms.gateway6=2001:db8::1"),
        (SIX.replace('"2001:db8::1"', '"FE80::1"'), "ms.address6=2001:db8::50/64 ms.gateway6=fe80::1"),
        (SIX.replace('gateway6 = "2001:db8::1"\n', ""), "ms.address6=2001:db8::50/64 ms.gateway6="),
        (GUEST, "ms.address6=advertised ms.gateway6="),
    ],
)
def test_over_ipv6_it_has_the_plan_s_address_or_makes_its_own(tmp_path: Path, text: str, second: str) -> None:
    plan = plan_of(tmp_path, DUAL + text + AXES)
    assert plan.families == ["ipv4", "ipv6"]
    assert parse(text_of(plan), "") == plan
    line = kernel_line(plan.libvirt.guest.addressing(plan.families), "192.0.2.9")
    assert f"ms.address=192.0.2.50/24 ms.gateway=192.0.2.1 {second} ms.origin=192.0.2.9" in line


def test_load_in_the_guest_goes_there_too(tmp_path: Path) -> None:
    busy = 'disturbance = ["busy"]\n[[disturbance]]\nname = "busy"\nkind = "guest-cpu"\nworkers = 1\n'
    assert plan_of(tmp_path, GUEST + AXES + busy).disturbances()["busy"].kind == "guest-cpu"


def test_a_volume_is_copied_over_whichever_port_libvirt_takes() -> None:
    request = request_of(BUILT_IN["pre-copy"], peer_to_peer=False, storage="copied")
    assert "VIR_MIGRATE_NON_SHARED_DISK" in request.flags
    assert request.parameters == {"migrate_disks": ["vda"]}
    assert refused_of_guest(Policy(tunnelled=True), peer_to_peer=True) is None
    assert "peer_to_peer" in (refused_of_guest(Policy(tunnelled=True), peer_to_peer=False) or "")


def spec(**changes: Any) -> DomainSpec:
    image = BootImage(Path("/pool/kernel"), Path("/pool/initrd"), Path("/guest/disk"), "quiet")
    given: dict[str, Any] = {"link": ("bridge", "br0"), "shared_file": True, "machine": OURS} | changes
    return DomainSpec(
        f"{OURS}-{RUN}-trial-1", RUN, 2**29, 1, image, "tcg", Path("/pool/disk"), "52:54:00:0a:1b:2c", "",
        serial=Path("/pool/console"), **given,
    )  # fmt: skip


def test_what_two_hosts_have_open_neither_keeps_in_memory() -> None:
    """libvirt calls a migration unsafe otherwise."""
    shared, copied = (ElementTree.fromstring(xml(spec(shared_file=shared))) for shared in (True, False))
    caches = [root.find("devices/disk/driver") for root in (shared, copied)]
    assert [driver.get("cache") for driver in caches if driver is not None] == ["none", "writeback"]
    assert (spec().storage, spec(shared_file=False).storage) == ("shared", "copied")


def test_it_names_nothing_that_only_this_machine_has() -> None:
    root = ElementTree.fromstring(xml(spec()))
    mark = root.find(f"metadata/{{{MARK}}}run")
    assert mark is not None
    assert mark.attrib == {"id": RUN, "machine": OURS}
    assert root.find("devices/interface/target") is None
    on = ElementTree.fromstring(xml(spec(link=("network", "lan")))).find("devices/interface[@type='network']/source")
    assert on is not None
    assert on.attrib == {"network": "lan"}


class Libvirt(Connection):
    """A host's libvirt that plays pools and domains. pools: volumes by pool; domains: definitions by name."""

    def __init__(self, host: str, pools: dict[str, list[str]], domains: dict[str, str], kind: str = "dir") -> None:
        super().__init__(host)
        self.pools, self.domains, self.kind = pools, domains, kind
        self.stuck = ""

    async def call(self, name: str, *args: Any, on: Any = None, timeout_s: float | None = 20.0) -> Any:
        kind, key = on or ("", "")
        pool, _, volume = key.partition("/")
        match name, kind:
            case "listAllDomains", _:
                return list(self.domains)
            case "listAllStoragePools", _:
                return list(self.pools)
            case "listVolumes", _:
                return list(self.pools[key])
            case "XMLDesc", "name":
                return self.domains[key]
            case "XMLDesc", "pool":
                return f'<pool type="{self.kind}"><target><path>/srv/{key}</path></target></pool>'
            case "destroy", "name":
                del self.domains[key]
            case "delete", "stored":
                if volume == self.stuck:
                    raise LibvirtError(f"{self.host}: it is in use")
                self.pools[pool].remove(volume)
            case "createXML", "pool":
                self.pools[key].append(ElementTree.fromstring(args[0]).findtext("name") or "")
            case "path", "stored":
                return f"/srv/{pool}/{volume}"
        return None


def marked(run: str = RUN, machine: str = OURS) -> str:
    return f'<domain><metadata><x:run xmlns:x="{MARK}" id="{run}" machine="{machine}"/></metadata></domain>'


def hosts() -> Pair:
    """Ours of two runs, another machine's, and what others have called as ours are."""
    mine, living, others = f"{OURS}-{RUN}-trial-1", f"{OURS}-ms111111-trial-2", f"{OURS}-{RUN}-theirs"
    a = Libvirt("a", {"default": [mine, living, "web1.qcow2", "migrascope-notes"]}, {
        mine: marked(), living: marked("ms111111"), others: "<domain/>", "web1": marked(),
    })  # fmt: skip
    b = Libvirt("b", {"default": [f"{OTHERS}-{RUN}-base"], "iso": []}, {})
    return Pair({"a": a, "b": b}, [A, B])


async def test_only_what_is_ours_and_no_living_run_s_is_found() -> None:
    found = await marks.find(hosts(), OURS, lambda: {"ms111111"})
    assert [(left.kind, left.host, left.name, left.pool) for left in found.left] == [
        ("domain", "a", f"{OURS}-{RUN}-trial-1", ""), ("volume", "a", f"{OURS}-{RUN}-trial-1", "default"),
    ]  # fmt: skip
    assert [(left.host, left.machine) for left in found.others] == [("b", OTHERS)]


async def test_what_is_removed_goes_and_what_stays_is_said() -> None:
    pair = hosts()
    a = pair.connections["a"]
    assert isinstance(a, Libvirt)
    a.stuck = f"{OURS}-{RUN}-trial-1"
    left = (await marks.find(pair, OURS, lambda: {"ms111111"})).left
    failed = await marks.remove(pair, left)
    assert list(failed.values()) == ["it is in use"]
    assert set(a.domains) == {f"{OURS}-ms111111-trial-2", f"{OURS}-{RUN}-theirs", "web1"}
    assert "web1.qcow2" in a.pools["default"]


async def test_a_pool_without_files_is_refused() -> None:
    with pytest.raises(Problem, match=r"the pool fast is of the type rbd; one of files is wanted: dir, fs, netfs"):
        await Pool(Libvirt("a", {"fast": []}, {}, kind="rbd"), "fast").folder()


@pytest.mark.parametrize(("same", "storage", "words"), [
    (True, "copied", "is not one of each host's own"), (False, "shared", "is not shared"),
])  # fmt: skip
async def test_a_pool_that_is_not_what_the_plan_says_is_refused_and_left_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, same: bool, storage: Any, words: str
) -> None:
    volumes = ["web1.qcow2"]
    a = Libvirt("a", {"default": volumes}, {})
    b = Libvirt("b", {"default": volumes if same else ["web1.qcow2"]}, {})
    files = {name: tmp_path / name for name in ("kernel", "initrd", "disk")}
    for file in files.values():
        file.write_bytes(b"x")

    async def convert(source: Path, _: str, target: Path, *rest: object) -> None:
        target.write_bytes(source.read_bytes())

    monkeypatch.setattr("migrascope.lab.hosts.lab.convert", convert)
    monkeypatch.setattr("migrascope.lab.hosts.lab.machine_tag", lambda: OURS)
    monkeypatch.setattr("migrascope.node.register.Register.create.__func__.__defaults__", (tmp_path / "labs",))
    (tmp_path / "plan.toml").write_text(GUEST + AXES)
    plan = load(str(tmp_path / "plan.toml"), ON_HOSTS).libvirt
    boot = BootImage(files["kernel"], files["initrd"], files["disk"], "quiet")
    up = HostsLab.up(
        Pair({"a": a, "b": b}, [A, B]), plan, boot, tmp_path, storage=storage, policies={}, python="", wanted="tcg",
        live=Live("", lambda *_: nullcontext(lambda: None), 1),
    )  # fmt: skip
    with pytest.raises(Problem, match=words):
        async with up:
            pytest.fail("it is not what the plan says")
    assert a.pools["default"] == b.pools["default"] == ["web1.qcow2"]
