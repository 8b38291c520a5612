"""A guest of ours on two real libvirts that know nothing of us: it comes, is migrated, and nothing of it stays."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest
import pytest_asyncio

from lab.beside import ADDRESSES, Beside, hosts_up
from lab.doors import by_tls
from migrascope.analysis.run import result_of
from migrascope.lab.hosts.pool import Pool
from migrascope.lab.libvirt.host import IMAGES
from migrascope.lab.qemu.topology import BRIDGE, GATEWAY
from migrascope.metrics.trial import measure
from migrascope.node.wait import wait_until
from migrascope.store.recording import Recording
from migrascope.store.runfolder import RunFolder

pytestmark = [pytest.mark.lab, pytest.mark.asyncio(loop_scope="module")]
OWN, SHARED = "own", "shared"
PLAN = """
name = "guest-there"
blocks = 1
[lab]
kind = "libvirt"
[libvirt]
hosts = {hosts}
addresses = {addresses}
[libvirt.guest]
pool = "{pool}"
bridge = "{bridge}"
address = "10.0.4.101/24"
gateway = "{gateway}"
[axes]
scenario = ["offline"]
memory = ["320MiB"]
storage = ["{storage}"]
[windows]
before = "2s"
steady_limit = "3min"
[visitors]
new_rate = 2
kept_rate = 2
viewers = 1
"""


@dataclass
class Theirs(Beside):
    """The hosts have a pool of each one's own, and one that they share."""

    def plan(self, folder: Path, storage: str, way: str = "tcp") -> None:
        """Writes the plan of a trial whose volume is in that storage, on hosts that are reached in that way."""
        text = PLAN.format(
            hosts=json.dumps(self.uris[way]), addresses=json.dumps(ADDRESSES), bridge=BRIDGE,
            gateway=GATEWAY, pool=SHARED if storage == "shared" else OWN, storage=storage,
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


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def theirs(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Theirs]:
    async with hosts_up(tmp_path_factory.mktemp("bin")) as (beside, _):
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


@pytest.mark.parametrize(
    ("storage", "way"),
    [
        ("copied", "tcp"),
        pytest.param("shared", "ssh", marks=pytest.mark.soak),
        pytest.param("copied", "tls", marks=pytest.mark.soak),
    ],
)
async def test_a_guest_of_ours_is_measured_there_and_nothing_of_it_stays(
    theirs: Theirs, tmp_path: Path, storage: str, way: str
) -> None:
    theirs.plan(tmp_path, storage, way)
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
    judged = result_of(recording).judgement
    assert judged.text == "not known: frames", judged  # the hosts' links are not ours to look at; all else is proved
    assert await theirs.there() == []
    assert theirs.migrascope(tmp_path, "clean", *theirs.hosts(way)).stdout.strip() == "nothing of ours is there"


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
    theirs.plan(tmp_path, "copied")
    silent = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        *theirs.argv("run", "plan.toml"), cwd=tmp_path, env=theirs.environment, stdout=silent,
        stderr=silent,
    )  # fmt: skip

    async def there() -> bool:
        assert process.returncode is None, "it ended before its guest was there"
        return any("trial-1" in name for name in await theirs.there())

    await wait_until(there, 300, "the guest is there", 0.2)
    process.send_signal(signal.SIGKILL)
    await process.wait()
    hosts = theirs.hosts("tcp")
    listed = theirs.migrascope(tmp_path, "clean", *hosts, "--list")
    assert "found domain" in listed.stdout
    assert "found volume" in listed.stdout
    assert await theirs.there()
    cleaned = theirs.migrascope(tmp_path, "clean", *hosts)
    assert cleaned.returncode == 0, cleaned.stdout
    assert await theirs.there() == []
