"""A guest of ours on two real libvirts that know nothing of us: it comes, is migrated, and nothing of it stays."""

import asyncio
import json
import signal
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import polars as pl
import pytest
import pytest_asyncio

from lab.beside import ADDRESSES, Beside, hosts_up
from lab.doors import by_tls
from lab.router import advertising
from migrascope.analysis.run import result_of
from migrascope.guest.image import ROOT as GUEST_ROOT
from migrascope.lab.hosts.pool import Pool
from migrascope.lab.libvirt.host import IMAGES
from migrascope.lab.qemu.topology import BRIDGE, GATEWAY, GATEWAY_6, address
from migrascope.metrics.trial import measure
from migrascope.model.family import FIRST, SECOND
from migrascope.model.hosts import ORIGIN_PORT
from migrascope.node.image import root_image
from migrascope.node.link import give_ipv6
from migrascope.node.namespace import index_of
from migrascope.node.process import Where, running
from migrascope.node.wait import wait_until
from migrascope.store.recording import Recording
from migrascope.store.runfolder import RunFolder

pytestmark = [pytest.mark.lab, pytest.mark.asyncio(loop_scope="module")]
OWN, SHARED = "own", "shared"
GUEST, HERE = "10.0.4.101", address("client", "external")
PREFIX_6 = GATEWAY_6.removesuffix("1")
NAMED_6 = f'address6 = "{PREFIX_6}101/64"\ngateway6 = "{GATEWAY_6}"'
NAMED = f'address = "{GUEST}/24"\ngateway = "{GATEWAY}"'
LEASES = """
start 10.0.4.150
end 10.0.4.159
interface tenant
option subnet 255.255.255.0
option router {gateway}
lease_file {folder}/leases
pidfile {folder}/pid
"""
"""For busybox's DHCP server, on the guests' network."""
PLAN = """
name = "guest-there"
blocks = 1
families = {families}
[lab]
kind = "libvirt"
[libvirt]
hosts = {hosts}
addresses = {addresses}
[libvirt.guest]
pool = "{pool}"
bridge = "{bridge}"
{address}
[axes]
scenario = ["{scenario}"]
memory = ["320MiB"]
storage = ["{storage}"]
[windows]
before = "2s"
steady_limit = "3min"
[visitors]
new_rate = {rate}
kept_rate = {rate}
viewers = 1
"""


@dataclass
class Theirs(Beside):
    """The hosts have a pool of each one's own, and one that they share."""

    def plan(
        self, folder: Path, storage: str, way: str = "tcp", scenario: str = "offline", address: str = NAMED, *,
        dual: bool = False,
    ) -> None:  # fmt: skip
        """Writes the plan of a trial whose volume is in that storage, on hosts that are reached in that way. address:
        the keys that say where the guest and its live stream are. dual: it has both families."""
        text = PLAN.format(
            hosts=json.dumps(self.uris[way]), addresses=json.dumps(ADDRESSES), bridge=BRIDGE, address=address,
            pool=SHARED if storage == "shared" else OWN, storage=storage, scenario=scenario,
            families=json.dumps([FIRST, SECOND] if dual else [FIRST]), rate=1 if dual else 2,
        )  # fmt: skip
        (folder / "plan.toml").write_text(text)

    async def there(self) -> list[str]:
        """Names of all domains and volumes on both hosts."""
        found = list[str]()
        for host in self.lab._hosts.values():
            found += await host.connection.call("listAllDomains", 0)
            for pool in (OWN, SHARED):
                found += await Pool(host.connection, pool).names()
        return found

    def asks(self, node: str) -> int | None:
        """The status with which the origin of the live stream answers a node; None where nothing listens."""

        def ask() -> int | None:
            try:
                with urllib.request.urlopen(f"http://{HERE}:{ORIGIN_PORT}/live/index.m3u8", timeout=5) as answer:
                    return int(answer.status)
            except urllib.error.HTTPError as error:
                return error.code
            except OSError:
                return None

        return self.lab.topology.nodes[node].call(ask)

    @contextmanager
    def on_the_guests_network(self) -> Iterator[None]:
        """The machine is, too, for the length of a with block."""
        self.lab.topology.links["tenant"].attach("client", self.lab.client, "10.0.4.30/24")
        try:
            give_ipv6(self.lab.client, "tenant", f"{PREFIX_6}30")
            yield
        finally:
            self.lab.client.configure(lambda routes: routes.link("del", index=index_of(routes, "tenant")))
            del self.lab.topology.links["tenant"].ports["client"]

    @asynccontextmanager
    async def leasing(self, folder: Path) -> AsyncIterator[None]:
        """A DHCP server on the guests' network, for the length of a with block."""
        settings = folder / "udhcpd.conf"
        settings.write_text(LEASES.format(gateway=GATEWAY, folder=folder))
        (folder / "leases").touch()
        busybox = (await root_image(GUEST_ROOT)) / "usr/bin/busybox"
        argv = [str(busybox), "udhcpd", "-f", str(settings)]
        async with running("udhcpd", argv, Where(self.lab.topology.fabric), folder / "udhcpd.log"):
            yield


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def theirs(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Theirs]:
    async with hosts_up(tmp_path_factory.mktemp("bin"), (FIRST, SECOND)) as (beside, _):
        lab = beside.lab
        shared = lab.folder / "pool"
        shared.mkdir()
        beside.uris["tls"] = await by_tls(lab)
        for name, host in lab._hosts.items():
            await host.kill()
            with (lab.folder / name / "etc/qemu.conf").open("a") as settings:
                settings.write(f'shared_filesystems = ["{shared}"]\n')
            await host.start()
            host.image("nothing")  # makes the folder
            for pool, folder in ((OWN, IMAGES), (SHARED, shared)):
                await host.connection.call("storagePoolCreateXML", pool_of(pool, str(folder)), 0)
        yield Theirs(lab, beside.path, beside.uris)


def pool_of(name: str, folder: str) -> str:
    root = ElementTree.Element("pool", type="dir")
    ElementTree.SubElement(root, "name").text = name
    ElementTree.SubElement(ElementTree.SubElement(root, "target"), "path").text = folder
    return ElementTree.tostring(root, encoding="unicode")


def trial(folder: Path) -> Recording:
    (found,) = RunFolder(folder / "runs" / "latest").recordings()
    return found


def over_both(recording: Recording) -> None:
    """It was probed, asked and visited over each family, at all times but for the blackout."""
    assert set(recording.table("liveness")["source"]) == {"liveness", "liveness-ipv6"}
    found = measure(recording)
    for key in ("network_blackout_ipv6_s", "network_blackout_ipv6_difference_s", "http_new_blackout_ipv6_s"):
        assert found[key].value is not None, (key, found[key].reason)
    lost = found["probe.loss_ipv6_ratio.before"].value
    assert lost is not None
    assert lost < 0.02


@pytest.mark.parametrize(
    ("storage", "way", "dual"),
    [
        ("copied", "tcp", True),
        pytest.param("shared", "ssh", False, marks=pytest.mark.soak),
        pytest.param("copied", "tls", False, marks=pytest.mark.soak),
    ],
)
async def test_a_guest_of_ours_is_measured_there_and_nothing_of_it_stays(
    theirs: Theirs, tmp_path: Path, storage: str, way: str, dual: bool
) -> None:
    theirs.plan(tmp_path, storage, way, address=f"{NAMED}\n{NAMED_6}" if dual else NAMED, dual=dual)
    asked = theirs.migrascope(tmp_path, "doctor", "plan.toml")
    assert asked.returncode == 0, asked.stdout + asked.stderr
    done = await asyncio.to_thread(theirs.migrascope, tmp_path, "run", "plan.toml")
    assert done.returncode == 0, done.stdout + done.stderr
    recording = trial(tmp_path)
    assert (recording.trial.status, recording.trial.reason) == ("ok", None)
    found = measure(recording)
    for key in (
        "migration_time_s",
        "vm_pause_s",
        "network_blackout_s",
        "rounds",
        "libvirt_total_s",
        "http_new_blackout_s",
    ):
        assert found[key].value is not None, (key, found[key].reason)
    if dual:
        over_both(recording)
        why = found["client_neighbour.right_ipv6"].reason  # it is behind a router
        assert why == "nobody looked into the neighbour table of the client"
    judged = result_of(recording).judgement
    assert judged.text == "not known: frames", judged  # the hosts' links are not ours to look at; all else is proved
    assert await theirs.there() == []
    assert theirs.migrascope(tmp_path, "clean", *theirs.hosts(way)).stdout.strip() == "nothing of ours is there"


@pytest.mark.soak
async def test_a_guest_that_makes_its_address_is_measured_over_both_from_its_own_network(
    theirs: Theirs, tmp_path: Path
) -> None:
    theirs.plan(tmp_path, "copied", scenario="none", dual=True)
    with theirs.on_the_guests_network():
        async with advertising(theirs.lab.topology.fabric, "tenant", f"{PREFIX_6}/64"):
            done = await asyncio.to_thread(theirs.migrascope, tmp_path, "run", "plan.toml")
    assert done.returncode == 0, done.stdout + done.stderr
    recording = trial(tmp_path)
    over_both(recording)
    first, made = sorted(set(recording.table("neighbour_state")["address"]))
    assert first == GUEST
    assert made.startswith(PREFIX_6.removesuffix(":"))
    assert "ff:fe" in made  # of its MAC (RFC 4291, appendix A)
    found = measure(recording)
    assert (found["client_neighbour.right"].value, found["client_neighbour.right_ipv6"].value) == (1, 1)
    assert await theirs.there() == []


def streamed(recording: Recording) -> None:
    """The viewer has received the stream, all of it whole but what came when it ended."""
    assert (recording.trial.status, recording.trial.reason) == ("ok", None)
    segments = recording.table("segment")
    broken = segments.filter(~pl.col("error").is_in(["", "not whole before the end"]))
    assert broken.is_empty(), broken
    # half a second of 2 Mbit/s, which mpegts makes a little more of
    assert 110e3 < segments["bytes"].to_numpy().mean() < 180e3
    found = measure(recording)
    for key in ("player_stall_s", "player_lateness_s", "player_least_buffer_s", "http_new_blackout_s"):
        assert found[key].value is not None, (key, found[key].reason)


async def test_visitors_have_the_live_stream_from_here_and_nobody_else_has(theirs: Theirs, tmp_path: Path) -> None:
    theirs.plan(tmp_path, "copied", scenario="online")
    asked = theirs.migrascope(tmp_path, "doctor", "plan.toml", "--json")
    assert asked.returncode == 0, asked.stdout + asked.stderr
    (origin,) = [check for check in json.loads(asked.stdout)["checks"] if check["name"] == "live stream"]
    assert origin["found"].startswith(f"from {HERE}:{ORIGIN_PORT} of this machine")
    done = asyncio.create_task(asyncio.to_thread(theirs.migrascope, tmp_path, "run", "plan.toml"))

    async def served() -> bool:
        assert not done.done(), (await done).stderr
        return await asyncio.to_thread(theirs.asks, "client") == 200

    await wait_until(served, 300, "the live stream is served", 0.5)
    assert await asyncio.to_thread(theirs.asks, "origin") == 403
    ended = await done
    assert ended.returncode == 0, ended.stdout + ended.stderr
    streamed(trial(tmp_path))
    assert theirs.asks("client") is None
    assert await theirs.there() == []


@pytest.mark.soak
async def test_a_guest_with_an_address_by_dhcp_passes_the_live_stream_on(theirs: Theirs, tmp_path: Path) -> None:
    theirs.plan(tmp_path, "shared", scenario="relay", address=f'origin = "{HERE}"')
    async with theirs.leasing(tmp_path):
        done = await asyncio.to_thread(theirs.migrascope, tmp_path, "run", "plan.toml")
    assert done.returncode == 0, done.stdout + done.stderr
    recording = trial(tmp_path)
    streamed(recording)
    assert measure(recording)["network_blackout_s"].value is not None
    assert result_of(recording).judgement.text == "not known: frames"
    assert await theirs.there() == []


@pytest.mark.soak
@pytest.mark.parametrize("origin", ["10.0.1.30:8080", f"{HERE}:{ORIGIN_PORT}"])
async def test_a_guest_that_does_not_reach_the_origin_ends_the_run(theirs: Theirs, tmp_path: Path, origin: str) -> None:
    """The first address is this machine's, on a network to which the router knows no way; to the other one it drops
    what the guest sends to that port, as a firewall does."""
    theirs.plan(tmp_path, "copied", scenario="relay", address=f'{NAMED}\norigin = "{origin}"')
    firewall = {"priority": 1, "src": f"{GUEST}/32", "ip_proto": 6, "dport_range": f"{ORIGIN_PORT}:{ORIGIN_PORT}"}
    fabric = theirs.lab.topology.fabric
    fabric.configure(lambda routes: routes.rule("add", **firewall, action="FR_ACT_BLACKHOLE"))
    try:
        done = await asyncio.to_thread(theirs.migrascope, tmp_path, "run", "plan.toml")
    finally:
        fabric.configure(lambda routes: routes.rule("del", **firewall, action="FR_ACT_BLACKHOLE"))
    assert done.returncode == 4, done.stdout + done.stderr
    assert f"no live stream for the scenario relay: http://{GUEST}/live/index.m3u8 answered 504" in done.stderr
    assert f"let TCP from {GUEST} (the guest, on host-a) to the origin, {origin}," in done.stderr
    assert "libvirt.guest.origin in the plan" in done.stderr
    assert "migrascope run --resume" in done.stderr
    assert RunFolder(tmp_path / "runs" / "latest").recordings() == []
    assert await theirs.there() == []


async def test_a_pool_that_is_not_shared_is_told_from_one_that_is(theirs: Theirs, tmp_path: Path) -> None:
    theirs.plan(tmp_path, "copied")
    plan = tmp_path / "plan.toml"
    plan.write_text(plan.read_text().replace('["copied"]', '["shared"]'))
    done = await asyncio.to_thread(theirs.migrascope, tmp_path, "run", "plan.toml")
    assert done.returncode == 4
    assert "the pool own is not shared" in done.stderr
    assert 'axes.storage = ["copied"]' in done.stderr
    assert await theirs.there() == []


@pytest.mark.soak
async def test_what_a_killed_run_leaves_is_found_and_removed(theirs: Theirs, tmp_path: Path) -> None:
    theirs.plan(tmp_path, "copied", scenario="relay")
    silent = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        *theirs.argv("run", "plan.toml"), cwd=tmp_path, env=theirs.environment, stdout=silent,
        stderr=silent,
    )  # fmt: skip

    async def there() -> bool:
        assert process.returncode is None, "it ended before its guest was there"
        return await asyncio.to_thread(theirs.asks, "client") == 200

    await wait_until(there, 300, "the guest is there, and its live stream is served", 0.2)
    assert any("trial-1" in name for name in await theirs.there())
    process.send_signal(signal.SIGKILL)
    await process.wait()

    async def silent_again() -> bool:
        return await asyncio.to_thread(theirs.asks, "client") is None

    await wait_until(silent_again, 10, "nothing of it listens any more", 0.1)
    hosts = theirs.hosts("tcp")
    listed = theirs.migrascope(tmp_path, "clean", *hosts, "--list")
    assert "found domain" in listed.stdout
    assert "found volume" in listed.stdout
    assert await theirs.there()
    cleaned = theirs.migrascope(tmp_path, "clean", *hosts)
    assert cleaned.returncode == 0, cleaned.stdout
    assert await theirs.there() == []
