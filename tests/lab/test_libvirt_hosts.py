"""A domain that is not ours on two real libvirts that know nothing of us: it is migrated, and else left as it is."""

import asyncio
import contextlib
import json
import random
import re
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import pytest_asyncio

from lab.beside import ADDRESSES, Beside, hosts_up
from lab.doors import by_tls, ssh_config
from migrascope.cli.console import EXIT_INTERRUPTED
from migrascope.lab.libvirt.domain import MARK, DomainSpec, xml
from migrascope.lab.libvirt.placed import GONE, OFF, Placed, active
from migrascope.lab.qemu.topology import BRIDGE, INSTANCE_ADDRESS, address
from migrascope.lab.qemu.volume import EXPORT_PORT, Volume
from migrascope.metrics.trial import measure
from migrascope.model.schedule import HOSTS
from migrascope.node.wait import wait_until
from migrascope.store.recording import Recording
from migrascope.store.runfolder import RunFolder
from migrascope.trial.agent_client import AgentClient
from migrascope.trial.guest_stress import GuestStress

pytestmark = [pytest.mark.lab, pytest.mark.asyncio(loop_scope="module")]
NAME, URL = "web1", f"http://{INSTANCE_ADDRESS}/"
WAYS = ["ssh", pytest.param("tls", marks=pytest.mark.soak), pytest.param("tcp", marks=pytest.mark.soak)]
PLAN = f"""
name = "theirs"
blocks = 2
[libvirt]
addresses = {json.dumps(ADDRESSES)}
[windows]
before = "2s"
limit = "3min"
steady_limit = "3min"
[observed]
pause = "0s"
[probes]
echo_rate = 50
"""
SLOW = f"""{PLAN}
[axes]
policy = ["slow"]
[policies.slow]
bandwidth = "8mbit"
"""
BRISK = SLOW.replace("8mbit", "80mbit")
SEEDS = range(1, 11)


@dataclass
class Owner(Beside):
    """Whose domain it is: what the two libvirts say of it, and a shell beside them."""

    domain: Placed

    def theirs(self, way: str = "tcp") -> list[str]:
        """The options that name both hosts and the domain."""
        return [*self.hosts(way), "--domain", NAME]

    async def open(self, way: str) -> None:
        """Sees to it that both can be reached in that way: over TLS after a start of their libvirts, which takes up to
        9 s each."""
        if way == "tls" and way not in self.uris:
            self.uris[way] = await by_tls(self.lab)
            for host in self.lab._hosts.values():
                await host.kill()
                await host.start()

    def run(self, folder: Path, plan: str, way: str = "tcp") -> list[Recording]:
        (folder / "plan.toml").write_text(plan)
        done = self.migrascope(folder, "run", "plan.toml", *self.theirs(way), "--url", URL)
        assert done.returncode == 0, done.stderr
        return RunFolder(folder / "runs" / "latest").recordings()

    async def seen(self, host: str) -> dict[str, Any]:
        """All that its owner would look at, but for the number that libvirt gives to each QEMU, and its own name for a
        controller that is none, which a libvirt that is started again beside the domain has forgotten."""
        definition = {"flags": ["VIR_DOMAIN_XML_INACTIVE"]}
        live = await self.domain.call(host, "XMLDesc", 0)
        live = re.sub(r"( model='none')>\s*<alias name='usb'/>\s*</controller>", r"\1/>", live)
        return {
            "live": re.sub(r"^<domain type='(\w+)' id='\d+'", r"<domain type='\1'", live),
            "defined": await self.domain.call(host, "XMLDesc", definition),
            "persistent": await self.domain.call(host, "isPersistent"),
            "autostart": await self.domain.call(host, "autostart"),
            "limit": await self.domain.call(host, "migrateGetMaxDowntime", 0),
            "bandwidth": await self.domain.call(host, "migrateGetMaxSpeed", 0),
            "state": await self.domain.state(host),
        }

    def tainted(self) -> list[str]:
        """Hosts whose log says that somebody spoke with its QEMU."""
        logs = {host: self.lab.folder / host / "log/qemu" / f"{NAME}.log" for host in HOSTS}
        return [host for host, log in logs.items() if log.exists() and "custom-monitor" in log.read_text()]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def owner(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Owner]:
    """A plain domain, defined and started by hand on host-a, which serves its page; and a machine beside both hosts
    whose first python3 has libvirt's module."""
    async with hosts_up(tmp_path_factory.mktemp("bin")) as (beside, images):
        lab = beside.lab
        volume = Volume(NAME, images.boot.disk, lab.folder, images.host_root, lab.topology.nodes["storage"])
        await volume.create()
        try:
            spec = DomainSpec(
                NAME, "nobody", 320 * 2**20, 1, images.boot, lab.facts["accelerator"],
                (address("storage", "storage"), EXPORT_PORT), "52:54:00:aa:bb:01", "web1", ("bridge", BRIDGE),
                lab.folder / "web1.serial",
            )  # fmt: skip
            connections = {name: host.connection for name, host in lab._hosts.items()}
            domain = Placed(connections, spec.uuid)
            await connections["host-a"].call("defineXML", by_hand(spec))
            await domain.call("host-a", "create")
            page = AgentClient(f"http://{INSTANCE_ADDRESS}:8080", lab.client)
            await wait_until(page.ready, 240, "the guest boots", 0.2)
            yield Owner(lab, beside.path, beside.uris, domain)
        finally:
            await volume.destroy()


def by_hand(spec: DomainSpec) -> str:
    """The definition without our mark."""
    whole = ElementTree.fromstring(xml(spec))
    metadata = whole.find("metadata")
    assert metadata is not None
    whole.remove(metadata)
    text = ElementTree.tostring(whole, encoding="unicode")
    assert MARK not in text
    return text


@pytest.mark.parametrize("way", WAYS)
async def test_the_doctor_finds_all_that_is_needed(owner: Owner, tmp_path: Path, way: str) -> None:
    await owner.open(way)
    before = await owner.seen("host-a")
    done = owner.migrascope(tmp_path, "doctor", *owner.theirs(way), "--url", URL, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    found = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    for name in ("two hosts", "domain", "migrations", "disk vda", "QEMU's versions", "processor",
                 "QEMU's events on host-a", "QEMU's events on host-b", "page"):  # fmt: skip
        assert found[name]["verdict"] == "pass", found[name]
    assert not [check for check in found.values() if check["verdict"] == "fail" and check["needed"]]
    assert found["domain"]["found"] == f"{NAME}: host-a: running, host-b: {GONE}"
    assert await owner.seen("host-a") == before


@contextlib.asynccontextmanager
async def writing(owner: Owner) -> AsyncIterator[None]:
    """Its guest writes 20 MB/s at random places of 64 MiB, for the length of a with block."""
    page = AgentClient(f"http://{INSTANCE_ADDRESS}:8080", owner.lab.client)
    stress = GuestStress(page, {"kind": "memory", "rate": "20000000", "set": str(2**26), "pattern": "random"})
    try:
        await stress.apply()
        yield
    finally:
        await stress.heal()


async def test_it_is_predicted_while_it_writes_and_not_changed(owner: Owner, tmp_path: Path) -> None:
    before = await owner.seen("host-a")
    async with writing(owner):
        done = owner.migrascope(tmp_path, "predict", *owner.theirs("ssh"), "--link", "1gbit", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["guest"]["name"], found["guest"]["host"]) == (NAME, "host-a")
    assert any(found["guest"]["rates"].values()), found["guest"]
    assert found["guest"]["memory_bytes"] == 320 * 2**20
    assert found["options"][0]["predicted"]["ends"]
    assert await owner.seen("host-a") == before
    assert owner.tainted() == []


async def unreached(owner: Owner, folder: Path, uris: list[str]) -> dict[str, Any]:
    """What the doctor says of host-a, which does not let us in."""
    done = await asyncio.to_thread(
        owner.migrascope, folder, "doctor", "--hosts", ",".join(uris), "--domain", NAME, "--json"
    )
    assert done.returncode == 4, done.stdout + done.stderr
    (check,) = (check for check in json.loads(done.stdout)["checks"] if check["name"] == "host 10.0.1.11")
    return dict(check)


async def test_a_host_whose_key_nobody_here_knows_is_not_waited_for(owner: Owner, tmp_path: Path) -> None:
    """Nobody is asked whether the key is right: there may be nobody, and it would be trusted ever after."""
    config, uris = ssh_config(owner.lab), list(owner.uris["ssh"])
    known = config.read_text()
    config.write_text("UserKnownHostsFile /no/such/file\n")
    try:
        said = await unreached(owner, tmp_path, uris)
    finally:
        config.write_text(known)
    assert "Host key verification failed" in said["found"], said
    assert said["remedy"] == f"virsh -c '{uris[0]}' list"


@pytest.mark.soak
async def test_a_key_and_a_certificate_that_are_not_there_are_told(owner: Owner, tmp_path: Path) -> None:
    for way, words in (("ssh", "Permission denied (publickey)"), ("tls", "No such file or directory")):
        await owner.open(way)
        uris = [re.sub("(keyfile|pkipath)=[^&]*", r"\1=/no/such/file", uri) for uri in owner.uris[way]]
        said = await unreached(owner, tmp_path, uris)
        assert words in said["found"], said


@pytest.mark.parametrize("way", WAYS)
async def test_a_domain_of_others_is_migrated_to_and_fro_and_else_untouched(
    owner: Owner, tmp_path: Path, way: str
) -> None:
    await owner.open(way)
    before = await owner.seen("host-a")
    there, back = owner.run(tmp_path, PLAN, way)
    assert (there.trial.source, there.trial.destination) == ("host-a", "host-b")
    assert (back.trial.source, back.trial.destination) == ("host-b", "host-a")
    for recording in (there, back):
        assert (recording.trial.status, recording.trial.reason) == ("ok", None)
        assert recording.trial.proof["place"].verdict == "pass"
        found = measure(recording)
        for key in ("migration_time_s", "network_blackout_s", "rounds", "set_downtime_limit_s", "libvirt_total_s",
                    "libvirt_downtime_s", "libvirt_transferred_bytes"):  # fmt: skip
            assert found[key].value, (key, found[key].reason)
        assert "libvirt.monitor = true" in str(found["vm_pause_s"].reason)
    assert await owner.seen("host-a") == before
    assert await owner.domain.states() == {"host-a": "running", "host-b": GONE}
    assert owner.tainted() == []
    cleaned = owner.migrascope(tmp_path, "clean", *owner.theirs(way))
    assert cleaned.stdout.strip() == f"{NAME}: host-a: running, host-b: {GONE}", cleaned.stderr


@pytest.mark.soak
@pytest.mark.parametrize("way", ["ssh", "tcp"])
async def test_hosts_clocks_are_read_where_the_plan_lets_qemu_be_asked(owner: Owner, tmp_path: Path, way: str) -> None:
    before = await owner.seen("host-a")
    there, back = owner.run(tmp_path, PLAN.replace("[libvirt]", "[libvirt]\nmonitor = true"), way)
    for recording in (there, back):
        found = measure(recording)
        for key in ("vm_pause_s", "reported_downtime_s", "rounds"):
            assert found[key].value, (key, found[key].reason)
        assert found["vm_pause_s"].bound
    assert await owner.seen("host-a") == before


@contextlib.asynccontextmanager
async def migrating(
    owner: Owner, folder: Path, plan: str, way: str = "tcp"
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A run of a plan, from when its first migration goes on."""
    (folder / "plan.toml").write_text(plan)
    argv = owner.argv("run", "plan.toml", *owner.theirs(way), "--url", URL)
    silent = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        *argv, cwd=folder, env=owner.environment, stdout=silent, stderr=silent
    )

    async def moves() -> bool:
        assert process.returncode is None, "it ended before it migrated"
        (here,) = active(await owner.domain.states())[:1]
        return bool((await owner.domain.call(here, "jobInfo"))[0])

    try:
        await wait_until(moves, 300, "a migration goes on", 0.1)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@pytest.mark.soak
@pytest.mark.parametrize("way", ["ssh unverified", "tls", "tcp"])
async def test_peer_to_peer_the_hosts_speak_to_each_other(owner: Owner, tmp_path: Path, way: str) -> None:
    await owner.open(way)
    before = await owner.seen("host-a")
    recordings = owner.run(tmp_path, PLAN.replace("[libvirt]", "[libvirt]\npeer_to_peer = true"), way)
    assert [recording.trial.status for recording in recordings] == ["ok", "ok"]
    assert all("VIR_MIGRATE_PEER2PEER" in recording.trial.settings["libvirt"]["flags"] for recording in recordings)
    assert await owner.seen("host-a") == before


@pytest.mark.soak
async def test_ctrl_c_leaves_the_domain_where_it_was(owner: Owner, tmp_path: Path) -> None:
    before = await owner.seen("host-a")
    async with migrating(owner, tmp_path, SLOW) as process:
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), 180) == EXIT_INTERRUPTED
    assert await owner.seen("host-a") == before
    assert await owner.domain.states() == {"host-a": "running", "host-b": GONE}
    assert (
        owner.migrascope(tmp_path, "clean", *owner.theirs()).stdout.strip()
        == f"{NAME}: host-a: running, host-b: {GONE}"
    )


@pytest.mark.soak
@pytest.mark.parametrize("seed", SEEDS)
async def test_the_migration_of_a_run_that_is_killed_is_led_to_its_end(owner: Owner, tmp_path: Path, seed: int) -> None:
    """Killed at a moment of its migration, which goes on; the next run begins where it has led."""
    before = await owner.seen("host-a")
    async with migrating(owner, tmp_path, BRISK) as process:
        await asyncio.sleep(random.Random(seed).uniform(0, 6))
        process.kill()

    async def there() -> bool:
        return await owner.domain.states() == {"host-a": OFF, "host-b": "running"}

    await wait_until(there, 120, "the migration comes to its end", 0.1)
    listed = owner.migrascope(tmp_path, "clean", *owner.theirs(), "--list").stdout
    assert f"{NAME}: host-a: {OFF}, host-b: running" in listed
    assert "a run that was killed was to migrate it from host-a to host-b" in listed
    (back,) = owner.run(tmp_path, PLAN.replace("blocks = 2", "blocks = 1"))
    assert (back.trial.source, back.trial.destination, back.trial.status) == ("host-b", "host-a", "ok")
    assert await owner.seen("host-a") == before
    assert (
        owner.migrascope(tmp_path, "clean", *owner.theirs()).stdout.strip()
        == f"{NAME}: host-a: running, host-b: {GONE}"
    )


@pytest.mark.soak
@pytest.mark.parametrize("way", ["ssh", "tcp"])
async def test_a_run_that_is_killed_leaves_one_copy_and_clean_ends_its_migration(
    owner: Owner, tmp_path: Path, way: str
) -> None:
    before = await owner.seen("host-a")
    async with migrating(owner, tmp_path, SLOW, way) as process:
        process.kill()
    listed = owner.migrascope(tmp_path, "clean", *owner.theirs(way), "--list")
    assert "a run that was killed was to migrate it from host-a to host-b" in listed.stdout
    assert "it is that migration" in listed.stdout, listed.stdout
    cleaned = owner.migrascope(tmp_path, "clean", *owner.theirs(way))
    assert cleaned.returncode == 0, cleaned.stdout
    assert "aborted: host-a: running" in cleaned.stdout
    assert await owner.domain.states() in ({"host-a": "running", "host-b": state} for state in (GONE, OFF))
    assert await owner.seen("host-a") == before
    again = owner.migrascope(tmp_path, "clean", *owner.theirs(way))
    assert again.stdout.strip() == f"{NAME}: host-a: running, host-b: {GONE}"
