"""`migrascope predict` and `advise` of a guest that runs now, on hosts of others or in a cloud."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from commandline import Ended, migrascope
from fakecloud import FakeCloud
from theirhosts import DIRTY, HOSTS, OFF, PAUSED, RUNNING, XML, A, B, TheirHosts, their_hosts

from migrascope.study import sampled

__all__ = ["their_hosts"]
THEIRS = ("--hosts", HOSTS, "--domain", "web1")
LINK = ("--link", "1gbit")
BECAUSE = "cannot be predicted, because "
CLOUD_PLAN = """
name = "web"
[lab]
kind = "openstack"
[cloud]
name = "fake"
hosts = {one = "qemu+ssh://a/system", two = "qemu+ssh://b/system"}
[axes]
scenario = ["none"]
"""


def ask(folder: Path, *more: str, verb: str = "predict") -> Ended:
    return migrascope(verb, *THEIRS, *LINK, *more, folder=folder, columns="80")


def emulated(their_hosts: TheirHosts, **dirty: Any) -> None:
    """An accelerator of which Migrascope's own trials are shipped."""
    their_hosts.write(domain=their_hosts.read()["domain"] | {"xml": XML.replace('type="kvm"', 'type="qemu"')})
    their_hosts.write(dirty=DIRTY | dirty)


def refused(their_hosts: TheirHosts, folder: Path) -> str:
    """Why it cannot be predicted, and what would help."""
    done = ask(folder)
    assert (done.code, done.stdout) == (3, "")
    assert done.stderr.count(BECAUSE) == 1
    assert "\n  next: " in done.stderr
    return done.stderr.partition(BECAUSE)[2]


def test_a_domain_is_sampled_and_predicted_and_not_changed(their_hosts: TheirHosts, tmp_path: Path) -> None:
    emulated(their_hosts)
    before = their_hosts.read()
    done = ask(tmp_path)
    assert done.code == 0, done.stderr
    head, table, advice = done.stdout.split("\n\n")
    assert head.splitlines() == [
        "web1 on a: 537 MB, 2 processors, TCG; at most 262 MB of it hold something",
        "12, 10 and 8 MiB/s become dirty, over 1, 2 and 4 s; by 256 of its pages, ±47 %",
        "link 1gbit; cancelled after 300 s",
    ]
    names = [line.partition(",")[0] for line in table.splitlines() if " ms" in line and not line.startswith(" ")]
    assert set(names) == {"pre-copy", "auto-converge", "post-copy", "post-copy-preempt", "multifd"}
    for word in ("time up to ", "pause ", "data up to ", "ends ", "–"):
        assert table.count(word) >= 5
    assert advice.startswith("advice: ")
    assert "based on 7 s of sampling, 52 trials of " in advice
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "sampling web1 on a for 7 s, nothing of it is changed" in done.stderr
    asked = set(their_hosts.read()["asked"]) - set(before["asked"])
    assert asked == {"VIR_DOMAIN_STATS_DIRTYRATE", *(f"dirty rate over {period} s" for period in (1, 2, 4))}
    kept = ("states", "limits", "job", "events", "domain")
    assert [their_hosts.read()[key] for key in kept] == [before[key] for key in kept]


def test_its_json_has_what_was_sampled_in_base_units(their_hosts: TheirHosts, tmp_path: Path) -> None:
    emulated(their_hosts)
    documents = [json.loads(ask(tmp_path, "--json", verb=verb).stdout) for verb in ("predict", "advise")]
    for found in documents:
        assert found["guest"]["rates"] == {"1": 12 * 2**20, "2": 10 * 2**20, "4": 8 * 2**20}
        assert (found["guest"]["name"], found["guest"]["host"], found["guest"]["sampled_s"]) == ("web1", "a", 7)
        assert (found["link_bps"], found["guest"]["held_bytes"]) == (1e9, 250 * 2**20)
        assert all(option["predicted"]["level"] == 0.9 for option in found["options"])


def test_advice_says_how_it_is_set(their_hosts: TheirHosts, tmp_path: Path) -> None:
    emulated(their_hosts)
    done = ask(tmp_path, "--never-lose-guest", "--must-end-within", "60", verb="advise")
    assert done.code == 0
    assert "virsh migrate --live" in done.stdout
    assert "link 1gbit; cancelled after 60 s" in done.stdout
    assert "post-copy: the guest is lost" in done.stdout


def test_another_accelerator_has_the_rule_alone_and_no_intervals(their_hosts: TheirHosts, tmp_path: Path) -> None:
    done = ask(tmp_path)
    assert done.code == 0
    assert ", KVM; " in done.stdout
    assert "where there is no interval: QEMU's rule alone: it was fitted to no trials" in done.stdout
    assert "7 s of sampling, QEMU's rule alone" in done.stdout
    assert "–" not in done.stdout


def test_a_link_far_from_what_was_fitted_is_refused(their_hosts: TheirHosts, tmp_path: Path) -> None:
    emulated(their_hosts)
    done = migrascope("predict", *THEIRS, "--link", "40gbit", folder=tmp_path)
    assert done.code == 3
    assert f"{BECAUSE}the link of 38" in done.stderr
    emulated(their_hosts, rss=10)
    assert "the memory in use of 0 MiB is far from" in ask(tmp_path).stderr


def test_zeros_under_load_are_sampled_again_for_longer(their_hosts: TheirHosts, tmp_path: Path) -> None:
    zeros = {"1": 0, "2": 0, "4": 0}
    emulated(their_hosts, rates={**zeros, "8": 3})
    done = ask(tmp_path)
    assert done.code == 0
    assert "web1 seems to write nothing, and keeps 0.5 processors busy" in done.stderr
    assert "0, 0, 0 and 3 MiB/s become dirty, over 1, 2, 4 and 8 s" in done.stdout
    assert "based on 15 s of sampling" in done.stdout
    emulated(their_hosts, rates={**zeros, "8": 0})
    words = refused(their_hosts, tmp_path)
    assert words.startswith("web1 keeps 0.5 processors busy, and libvirt sees less than 1 MiB/s become dirty")
    assert "256 pages are looked at, 512 of each GiB, which may be too few" in words


def test_zeros_of_an_idle_guest_are_what_it_writes(their_hosts: TheirHosts, tmp_path: Path) -> None:
    emulated(their_hosts, rates={"1": 0, "2": 0, "4": 0}, busy=0.0)
    done = ask(tmp_path)
    assert done.code == 0
    assert "less than 1 MiB/s becomes dirty, over 1, 2 and 4 s, while it keeps 0.00" in done.stdout
    assert "it is taken to write nothing" in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("states", "words"),
    [
        ({"a": OFF}, "web1 does not run: a: shut off, b: no domain"),
        ({"a": PAUSED}, "web1 does not run: a: paused, b: no domain"),
        ({"a": RUNNING, "b": RUNNING}, "web1 has a QEMU on a and b: a: running, b: running"),
        ({}, "neither a nor b has a domain web1"),
    ],
)
def test_it_has_to_run_on_just_one_host(
    their_hosts: TheirHosts, tmp_path: Path, states: dict[str, int], words: str
) -> None:
    their_hosts.write(states=states)
    assert refused(their_hosts, tmp_path).startswith(words)


def test_a_domain_that_migrates_is_left_alone(their_hosts: TheirHosts, tmp_path: Path) -> None:
    their_hosts.write(job={"host": "a", "began": 0})
    assert refused(their_hosts, tmp_path).startswith("a job of web1 goes on on a, such as a migration")
    assert not [words for words in their_hosts.read()["asked"] if words.startswith("dirty")]


def test_a_connection_that_may_only_read_is_said(their_hosts: TheirHosts, tmp_path: Path) -> None:
    their_hosts.host(A, refuses="authentication failed")
    words = refused(their_hosts, tmp_path)
    assert "host a takes no connection by which a guest can be sampled: may only be read: authentication f" in words
    assert "a user of the group libvirt, or root, there" in words
    their_hosts.host(A, refuses="no route", read_only=False)
    assert "host a takes no connection by which a guest can be sampled: no route" in refused(their_hosts, tmp_path)


def test_a_libvirt_that_is_too_old_is_said(their_hosts: TheirHosts, tmp_path: Path) -> None:
    their_hosts.write(dirty=DIRTY | {"refuses": "this function is not supported by the connection driver"})
    words = refused(their_hosts, tmp_path)
    assert "libvirt 11.3.0 on a, QEMU 10.0.2, does not measure what web1 dirties: this function is not" in words
    assert "a user who may write" in words
    their_hosts.host(A, libvirt=6000000)
    assert "libvirt 6.0.0 on a" in refused(their_hosts, tmp_path)
    assert "next: libvirt 7.2 there" in refused(their_hosts, tmp_path)


def test_memory_of_which_nobody_knows_how_much_is_held_is_said(their_hosts: TheirHosts, tmp_path: Path) -> None:
    emulated(their_hosts, rss=0)
    assert "libvirt on a does not say how much memory web1 has (rss)" in refused(their_hosts, tmp_path)
    huge = XML.replace("<devices>", "<memoryBacking><hugepages/></memoryBacking><devices>")
    their_hosts.write(domain=their_hosts.read()["domain"] | {"xml": huge})
    assert "the memory of web1 is in huge pages" in refused(their_hosts, tmp_path)


def test_ctrl_c_leaves_nothing(their_hosts: TheirHosts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def interrupted(*_: object) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(sampled, "sample", interrupted)
    for verb in ("predict", "advise"):
        done = ask(tmp_path, verb=verb)
        assert (done.code, done.stdout) == (130, "")
        assert "interrupted; QEMU ends its sample by itself, and nothing else was begun" in " ".join(
            done.stderr.split()
        )


def test_what_is_missing_is_bad_usage(their_hosts: TheirHosts, tmp_path: Path) -> None:
    for given, words in (
        (THEIRS, "--link: libvirt does not know what a migration can take of the link"),
        ((*THEIRS, "--link", "fast"), "--link: 'fast' is not a rate"),
        ((*THEIRS, "--link", "0gbit"), "--link: over a link of 0 nothing is migrated"),
        (("--hosts", HOSTS, *LINK), "--domain: the name of the domain"),
        (("--hosts", f"{A}?sshauth=agent,privkey,{B}", *LINK), "--domain: the name of the domain"),
        (("--hosts", A, "--domain", "web1", *LINK), "--hosts: two different URIs are wanted"),
        (LINK, "which running guest?"),
        (("--domain", "web1"), "which running guest?"),
        ((*THEIRS, *LINK, "--picture", "seen.svg"), "--picture: nothing was measured yet"),
        ((*THEIRS, *LINK, "--lab", "qemu"), "--lab: what runs now is in no lab"),
        (("2026", *THEIRS, *LINK), "2026: name a run, or a guest that runs now"),
        (("--cloud", "fake"), "name both: --cloud NAME in clouds.yaml, and --server"),
        (("--server", "web1"), "name both: --cloud NAME in clouds.yaml, and --server"),
    ):
        done = migrascope("predict", *given, folder=tmp_path)
        assert done.code == 2, given
        assert words in done.stderr
    verify = ask(tmp_path, "--verify", verb="advise")
    assert (verify.code, "--trial, --verify: they are of a run" in verify.stderr) == (2, True)
    secret = migrascope("predict", "--hosts", f"qemu+ssh://root:secret@a/system,{B}", *LINK, folder=tmp_path)
    assert (secret.code, "secret" in secret.stderr) == (2, False)
    assert not [words for words in their_hosts.read()["asked"] if words.startswith("dirty")]


def test_a_plan_names_the_domain_and_what_its_policy_may_send(their_hosts: TheirHosts, tmp_path: Path) -> None:
    emulated(their_hosts)
    text = f"""
name = "web1"
[lab]
kind = "libvirt"
[libvirt]
hosts = ["{A}", "{B}"]
domain = "web1"
url = "http://web1/"
[windows]
limit = "2min"
[axes]
policy = ["narrow"]
[policies.narrow]
bandwidth = "500mbit"
"""
    (tmp_path / "web1.toml").write_text(text)
    done = migrascope("predict", "web1.toml", folder=tmp_path)
    assert done.code == 0, done.stderr
    assert "link 500mbit; cancelled after 120 s" in done.stdout
    wide = migrascope("predict", "web1.toml", "--link", "1gbit", folder=tmp_path)
    assert "link 1gbit, 500mbit of it while the guest runs; cancelled after 120 s" in wide.stdout
    asked = [("--link", "1gbit"), ()]
    told = [json.loads(migrascope("predict", "web1.toml", *how, "--json", folder=tmp_path).stdout) for how in asked]
    assert [(each["link_bps"], each["bandwidth_bps"]) for each in told] == [(1e9, 500e6), (500e6, 500e6)]
    lifted, bound = (
        option["predicted"]["pause_s"]["value"]
        for each in told
        for option in each["options"]
        if (option["policy"], option["limit_s"]) == ("pre-copy", 1.0)
    )
    assert lifted < 0.6 * bound
    assert migrascope("predict", "web1.toml", "--domain", "web1", folder=tmp_path).code == 2
    (tmp_path / "web1.toml").write_text(text.partition("[axes]")[0])
    assert "--link" in migrascope("predict", "web1.toml", folder=tmp_path).stderr
    assert migrascope("advise", "web1.toml", *LINK, folder=tmp_path).code == 0


@pytest.fixture
def server(fake: FakeCloud, their_hosts: TheirHosts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A server of the cloud, which is the domain on host a."""
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(fake.clouds_yaml(tmp_path)))
    made = fake.nova.add(name="web-of-shop")
    emulated(their_hosts)
    their_hosts.write(domain=their_hosts.read()["domain"] | {"uuid": made["id"]})
    return made


def of_cloud(folder: Path, server: str, *more: str) -> Ended:
    return migrascope("predict", "--cloud", "fake", "--server", server, *more, folder=folder)


def test_a_cloud_alone_shows_nothing(server: dict[str, Any], tmp_path: Path) -> None:
    for which in (server["id"], server["name"]):
        done = of_cloud(tmp_path, which)
        assert done.code == 3
        assert f"{BECAUSE}the cloud fake shows neither what web-of-shop writes nor what its memory" in done.stderr
        assert "--hosts qemu+ssh://HOST/system, or cloud.hosts in a plan" in done.stderr


def test_a_server_is_found_on_hosts_in_reach_by_its_uuid(
    server: dict[str, Any], their_hosts: TheirHosts, tmp_path: Path
) -> None:
    done = of_cloud(tmp_path, "web-of-shop", "--hosts", HOSTS, *LINK)
    assert done.code == 0, done.stderr
    assert done.stdout.startswith("web-of-shop on a: 537 MB")
    (tmp_path / "cloud.toml").write_text(CLOUD_PLAN)
    their_hosts.host(B, refuses="no route", read_only=False)  # Compute says that it is on the other
    by_plan = migrascope("predict", "cloud.toml", "--server", server["id"], *LINK, folder=tmp_path)
    assert by_plan.code == 0, by_plan.stderr
    their_hosts.write(states={})
    away = of_cloud(tmp_path, server["id"], "--hosts", A, *LINK)
    assert away.code == 3
    assert f"{BECAUSE}web-of-shop does not run: qemu+ssh://a/system: no domain" in away.stderr


def test_a_server_that_is_not_there_or_does_not_run(server: dict[str, Any], fake: FakeCloud, tmp_path: Path) -> None:
    nobody = of_cloud(tmp_path, "nobody")
    assert (nobody.code, "the cloud fake has no server nobody in our project" in nobody.stderr) == (2, True)
    unknown = of_cloud(tmp_path, "6ffb2c5a-2b5d-4d9e-9f0b-0d5b0a1f7c11")
    assert (unknown.code, "shows us no server 6ffb2c5a" in unknown.stderr) == (2, True)
    server["status"] = "SHUTOFF"
    off = of_cloud(tmp_path, server["id"])
    assert (off.code, f"{BECAUSE}web-of-shop is SHUTOFF" in off.stderr) == (3, True)
    fake.nova.add(name="web-of-shop")
    twice = of_cloud(tmp_path, "web-of-shop")
    assert (twice.code, "several of the name web-of-shop" in twice.stderr) == (2, True)
    both = of_cloud(tmp_path, server["id"], "--domain", "web1")
    assert (both.code, "found by its UUID; leave it out" in both.stderr) == (2, True)
