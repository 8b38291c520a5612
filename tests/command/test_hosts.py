"""Hosts of others from the command line: what is asked beforehand, a run, and what a killed run leaves."""

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from commandline import Ended, migrascope
from loopback import Site, listening
from theirhosts import HOSTS, OFF, PAUSED, RUNNING, UUID, A, B, TheirHosts, their_hosts

from migrascope.lab.hosts.record import Record
from migrascope.metrics.trial import measure
from migrascope.node.wait import WaitTimeout
from migrascope.store.recording import Recording
from migrascope.store.runfolder import RunFolder
from migrascope.trial import hosts

__all__ = ["their_hosts"]
PLAN = """
name = "theirs"
blocks = 2
[windows]
before = "1s"
[observed]
pause = "0s"
[axes]
downtime_limit = ["700ms"]
"""


def url(site: Site) -> str:
    return f"http://127.0.0.1:{site.server_address[1]}/"


def doctor(folder: Path, *more: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """The code, and the checks by name."""
    done = migrascope("doctor", "--hosts", HOSTS, "--domain", "web1", "--json", *more, folder=folder)
    return done.code, {check["name"]: check for check in json.loads(done.stdout)["checks"]}


def run(folder: Path, site: Site, text: str = PLAN) -> Ended:
    (folder / "plan.toml").write_text(text)
    return migrascope(
        "run", "plan.toml", "--hosts", HOSTS, "--domain", "web1", "--url", url(site), folder=folder
    )  # fmt: skip


def recordings(folder: Path) -> list[Recording]:
    return RunFolder(folder / "runs" / "latest").recordings()


def test_everything_is_asked_beforehand(their_hosts: TheirHosts, tmp_path: Path, site: Site) -> None:
    code, found = doctor(tmp_path, "--url", url(site))
    assert code == 0, found
    assert {name for name, check in found.items() if check["verdict"] == "fail"} == {"QEMU's monitor", "not measured"}
    assert {name for name, check in found.items() if check["verdict"] == "unknown"} == {"stream"}
    assert found["domain"]["found"] == "web1: a: running, b: no domain"
    assert found["definition"]["found"] == "stays on a; b: there it runs without one"
    for name in ("host a", "host b", "two hosts", "migrations", "QEMU's versions", "processor", "disk vda", "disk vdb",
                 "bridge br0", "network default", "QEMU's events on a", "QEMU's events on b", "page"):  # fmt: skip
        assert found[name]["verdict"] == "pass", found[name]
    assert set(their_hosts.read()["asked"]) <= {"VIR_DOMAIN_XML_MIGRATABLE"}


@pytest.mark.parametrize(
    ("host", "changes", "name", "words"),
    [
        (A, {"refuses": "authentication failed"}, "host a", "may only be read: authentication failed"),
        (B, {"refuses": "no route", "read_only": False}, "host b", "no route"),
        (B, {"uuid": "uuid-of-a"}, "two hosts", "a, b: both URIs lead to the same host"),
        (B, {"cpu": 0}, "processor", "Skylake-Server: b lacks features of it"),
        (B, {"volumes": {"/srv/web1.qcow2": 1}}, "disk vda", "/srv/web1.qcow2: 1073741824 bytes on a, 1 on b"),
        (B, {"networks": {}}, "network default", "b: Network not found: no network with matching name 'default'"),
        (B, {"networks": {"default": 0}}, "network default", "b has it, not active"),
    ],
)
def test_what_would_fail_is_said_with_the_next_command(
    their_hosts: TheirHosts, tmp_path: Path, host: str, changes: dict[str, Any], name: str, words: str
) -> None:
    their_hosts.host(host, **changes)
    code, found = doctor(tmp_path)
    assert code == 4
    assert (found[name]["verdict"], found[name]["found"]) == ("fail", words)
    assert found[name]["remedy"]


def test_a_host_that_lets_nobody_in_is_named_with_the_next_command(their_hosts: TheirHosts, tmp_path: Path) -> None:
    their_hosts.host(B, refuses="Host key verification failed")
    for domain in (["--domain", "web1"], []):
        done = migrascope("clean", "--hosts", HOSTS, *domain, folder=tmp_path)
        assert done.code == 4
        assert f"b: Host key verification failed\n  next: virsh -c {B} list" in done.stderr


def test_a_long_uri_is_shown_whole(their_hosts: TheirHosts, tmp_path: Path) -> None:
    their_hosts.host(B, refuses="no route")
    uri = f"{A}?keyfile=/{'~' * 90}"
    done = migrascope("doctor", "--hosts", f"{uri},{B}", "--domain", "web1", folder=tmp_path)
    assert done.code == 4
    assert done.stdout.count("~") in (90, 180)  # in the next command, and maybe in libvirt's words


@pytest.mark.parametrize(
    ("host", "changes", "name", "words"),
    [
        (B, {"volumes": {}}, "disk vda", "/srv/web1.qcow2: no pool of b has it; libvirt refuses"),
        (B, {"interfaces": []}, "bridge br0", "libvirt on b does not say whether it has it"),
        (B, {"qemu": 9000000}, "QEMU's versions", "b has the older one"),
    ],
)
def test_what_libvirt_does_not_say_is_unknown_and_stops_nobody(
    their_hosts: TheirHosts, tmp_path: Path, host: str, changes: dict[str, Any], name: str, words: str
) -> None:
    their_hosts.host(host, **changes)
    code, found = doctor(tmp_path)
    assert code == 0
    assert found[name]["verdict"] == "unknown"
    assert found[name]["found"].startswith(words)
    assert found[name]["remedy"]


@pytest.mark.parametrize(
    ("states", "code", "words"),
    [
        ({"a": OFF}, 4, "web1: a: shut off, b: no domain"),
        ({"a": PAUSED}, 4, "web1: a: paused, b: no domain"),
        ({"a": RUNNING, "b": RUNNING}, 4, "web1: a: running, b: running"),
        ({"a": OFF, "b": RUNNING}, 0, "web1: a: shut off, b: running"),
    ],
)
def test_the_domain_has_to_run_on_exactly_one_host(
    their_hosts: TheirHosts, tmp_path: Path, states: dict[str, int], code: int, words: str
) -> None:
    their_hosts.write(states=states)
    ended, found = doctor(tmp_path)
    assert (ended, found["domain"]["found"]) == (code, words)


def test_a_migration_of_others_is_left_alone(their_hosts: TheirHosts, tmp_path: Path, site: Site) -> None:
    their_hosts.write(job={"host": "a", "began": time.time() - 3})
    code, found = doctor(tmp_path)
    assert code == 4
    assert "no run of this machine began it" in found["migrations"]["found"]
    done = run(tmp_path, site)
    assert done.code == 4
    assert "no run of this machine began it" in done.stderr
    cleaned = migrascope("clean", "--hosts", HOSTS, "--domain", "web1", folder=tmp_path)
    assert cleaned.code == 0
    assert "no run of this machine began it" in cleaned.stdout
    assert "abort" not in their_hosts.read()["asked"]


def test_events_that_are_refused_cost_their_figures(their_hosts: TheirHosts, tmp_path: Path, site: Site) -> None:
    their_hosts.write(unheard="access denied")
    code, found = doctor(tmp_path)
    assert code == 0
    assert found["QEMU's events on a"]["found"].startswith("access denied: vm_pause_s")
    assert run(tmp_path, site, PLAN.replace("blocks = 2", "blocks = 1")).code == 0
    (recording,) = recordings(tmp_path)
    assert measure(recording)["vm_pause_s"].reason == "libvirt refused QEMU's events: access denied"


def test_it_is_migrated_to_and_fro_and_is_as_it_was(their_hosts: TheirHosts, tmp_path: Path, site: Site) -> None:
    done = run(tmp_path, site)
    assert done.code == 0, done.stderr
    first, second = recordings(tmp_path)
    assert (first.trial.source, first.trial.destination) == ("a", "b")
    assert (second.trial.source, second.trial.destination) == ("b", "a")
    for recording in (first, second):
        assert (recording.trial.status, recording.trial.reason) == ("ok", None)
        assert recording.trial.proof["place"].verdict == "pass"
        found = measure(recording)
        for key in ("migration_time_s", "rounds", "set_downtime_limit_s"):
            assert found[key].value, (key, found[key].reason)
        assert found["set_downtime_limit_s"].value == pytest.approx(0.7)
        assert "libvirt.monitor = true" in str(found["vm_pause_s"].reason)
        assert recording.table("qmp_status").height == recording.table("host_clock").height == 0
    after = their_hosts.read()
    assert after["states"] == {"a": RUNNING}
    assert after["limits"] == {"a": 450}
    assert [words for words in after["asked"] if words.startswith("migrate")] == ["migrate {}"] * 2
    assert not {"reboot", "abort"} & set(after["asked"])
    assert Record(UUID).left() is None
    assert "web1 runs on a" in done.stderr
    assert "data against" not in done.stdout


def test_a_run_is_resumed_from_where_the_domain_is(their_hosts: TheirHosts, tmp_path: Path, site: Site) -> None:
    their_hosts.host(B, qemu=9000000)
    assert run(tmp_path, site).code == 0
    shutil.rmtree(tmp_path / "runs" / "latest" / "trials" / "2")
    their_hosts.write(states={"b": RUNNING})
    done = migrascope("run", "--resume", "-1", folder=tmp_path)
    assert done.code == 0, done.stderr
    assert recordings(tmp_path)[1].trial.source == "b"
    assert RunFolder(tmp_path / "runs" / "latest").manifest["qemu"] == "10.0.2, 9.0.0"


def test_a_migration_that_fails_is_a_failed_trial_of_a_domain_that_stays(
    their_hosts: TheirHosts, tmp_path: Path, site: Site
) -> None:
    their_hosts.write(fails="unsafe migration: Migration without shared storage is unsafe")
    run(tmp_path, site, PLAN.replace("blocks = 2", "blocks = 1"))
    (recording,) = recordings(tmp_path)
    assert recording.trial.status == "failed"
    assert "Migration without shared storage is unsafe" in str(recording.trial.reason)
    assert recording.trial.proof["place"].verdict == "pass"
    assert (their_hosts.read()["states"], their_hosts.read()["limits"]) == ({"a": RUNNING}, {"a": 450})


def test_what_would_end_at_a_reboot_is_not_rebooted(their_hosts: TheirHosts, tmp_path: Path, site: Site) -> None:
    domain = their_hosts.read()["domain"]
    ends = domain["xml"].replace("<devices>", "<on_reboot>destroy</on_reboot><devices>")
    their_hosts.write(domain=domain | {"xml": ends})
    assert doctor(tmp_path)[0] == 0
    done = run(tmp_path, site, f"{PLAN}[libvirt]\nmay_restart = true\n")
    assert done.code == 4
    assert "reboot: its definition says destroy where its guest reboots; may_restart = false" in done.stderr
    assert "reboot" not in their_hosts.read()["asked"]


async def test_a_reboot_is_awaited(port: int) -> None:
    """Where nothing goes down within the limit nothing was rebooted."""
    with pytest.raises(WaitTimeout, match=r"127\.0\.0\.1 goes down, which was asked to reboot"):
        await hosts.went_down("127.0.0.1", port, 0.1)
    with listening() as closed:
        gone = closed.getsockname()[1]
    await hosts.went_down("127.0.0.1", gone, 60)


def test_only_who_may_restart_it_does(
    their_hosts: TheirHosts, tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def down(*_: object) -> None:
        """The page of this test does not go down."""

    monkeypatch.setattr(hosts, "went_down", down)
    assert run(tmp_path, site, f"{PLAN}[libvirt]\nmay_restart = true\n").code == 0
    assert their_hosts.read()["asked"].count("reboot") == 2
    assert [recording.trial.facts["migrated_before"] for recording in recordings(tmp_path)] == [0, 0]


@pytest.mark.parametrize("goes_on", [True, False])
def test_what_a_killed_run_left_is_said_and_put_back(their_hosts: TheirHosts, tmp_path: Path, goes_on: bool) -> None:
    Record(UUID).begin("web1", "a", "b", 450)
    their_hosts.write(limits={"a": 700}, job={"host": "a", "began": time.time()} if goes_on else None)
    listed = migrascope("clean", "--hosts", HOSTS, "--domain", "web1", "--list", folder=tmp_path)
    assert "a run that was killed was to migrate it from a to b" in listed.stdout
    assert ("it is that migration" in listed.stdout) == goes_on
    assert their_hosts.read()["limits"] == {"a": 700}
    done = migrascope("clean", "--hosts", HOSTS, "--domain", "web1", folder=tmp_path)
    assert done.code == 0, done.stdout
    assert ("aborted: a: running" in done.stdout) == goes_on
    after = their_hosts.read()
    assert (after["limits"], after["job"]) == ({"a": 450}, None)
    assert Record(UUID).left() is None
    again = migrascope("clean", "--hosts", HOSTS, "--domain", "web1", folder=tmp_path)
    assert again.stdout.strip() == "web1: a: running, b: no domain"


def test_an_old_record_is_no_reason_to_abort(their_hosts: TheirHosts, tmp_path: Path) -> None:
    """A job that began long after what is written down is somebody else's."""
    Record(UUID).begin("web1", "a", "b", 450)
    path = tmp_path / "state" / "hosts" / f"{UUID}.json"
    old = json.loads(path.read_text())
    path.write_text(json.dumps(old | {"wall_ns": old["wall_ns"] - 60 * 10**9}))
    their_hosts.write(job={"host": "a", "began": time.time()})
    done = migrascope("clean", "--hosts", HOSTS, "--domain", "web1", folder=tmp_path)
    assert done.code == 4
    assert "no run of this machine began it" in done.stdout
    assert their_hosts.read()["job"]


def test_a_password_is_refused_and_not_repeated(tmp_path: Path) -> None:
    uris = "qemu+ssh://root:secret@a/system,qemu+ssh://b/system"
    for verb in (["run", "--url", "http://web1/"], ["doctor"], ["clean"]):
        done = migrascope(verb[0], "--hosts", uris, "--domain", "web1", *verb[1:], folder=tmp_path)
        assert done.code == 2
        assert "password" in done.stderr
        assert "secret" not in done.stderr
    assert not (tmp_path / "runs").exists()
