"""Hosts of others without any: which URIs they may have, which policies, whose a migration is, and which Python."""

import shlex
from pathlib import Path

import pytest

from migrascope.lab.hosts import python
from migrascope.lab.hosts.leftovers import clean_command
from migrascope.lab.hosts.pair import virsh
from migrascope.lab.hosts.policy import refused, request_of
from migrascope.lab.hosts.python import NoModule, python_with_libvirt
from migrascope.lab.hosts.record import Begun, Record
from migrascope.model.hosts import (
    PASSWORD,
    HostsPlan,
    addresses_problem,
    hosts_problem,
    page_problem,
    uri_problem,
    uris_in,
)
from migrascope.model.policy import BUILT_IN, Moment, Policy
from migrascope.model.problem import UsageProblem
from migrascope.study.plans import Options, PlanError, load, parse, text_of

UUID = "6ffb2c5a-2b5d-4d9e-9f0b-0d5b0a1f7c11"
A, B = "qemu+ssh://a/system", "qemu+tls://b/system"
THEIRS = Options(hosts=f"{A},{B}", domain="web1", url="http://web1/")
SECOND = 10**9


@pytest.mark.parametrize("uri", [A, B, "qemu:///system", "qemu+ssh://root@[2001:db8::7]:2222/system?no_tty=1"])
def test_a_uri_of_qemu_is_taken(uri: str) -> None:
    assert uri_problem(uri) is None


@pytest.mark.parametrize("uri", ["qemu+ssh://root:secret@a/system", "qemu+tcp://root:@a/system"])
def test_a_password_in_a_uri_is_refused_without_a_word_of_it(uri: str) -> None:
    assert uri_problem(uri) == PASSWORD
    assert "secret" not in (page_problem("http://me:secret@web1/") or "secret")


@pytest.mark.parametrize("uri", ["a", "xen:///system", "http://a/", "qemu+ssh://[a/system"])
def test_what_is_no_uri_of_qemu_is_refused(uri: str) -> None:
    assert "as qemu+ssh://a/system is one" in (uri_problem(uri) or "")


@pytest.mark.parametrize(
    "uris", [[A, B], [f"{A}?sshauth=agent,privkey", B], ["qemu:///system", "xen:///"], [f"{A}?keyfile=/k&no_tty=1", A]]
)
def test_a_comma_in_a_uri_s_parameter_separates_no_hosts(uris: list[str]) -> None:
    assert uris_in(",".join(uris)) == uris


def test_a_command_with_a_uri_is_ready_to_paste() -> None:
    uri = f"{A}?keyfile=/a key&no_tty=1"
    assert shlex.split(virsh(uri, "list")) == ["virsh", "-c", uri, "list"]
    assert virsh(A, "list") == f"virsh -c {A} list"
    theirs = HostsPlan(hosts=[uri, B], domain="web 1")
    assert shlex.split(clean_command(theirs)) == ["migrascope", "clean", "--hosts", f"{uri},{B}", "--domain", "web 1"]


@pytest.mark.parametrize("uris", [[], [A], [A, A], [A, B, "qemu+ssh://c/system"]])
def test_there_are_two_hosts(uris: list[str]) -> None:
    assert hosts_problem(uris)


@pytest.mark.parametrize(
    ("addresses", "fine"),
    [([], True), (["10.0.0.1", "2001:db8::2"], True), (["10.0.0.1"], False), (["a", "10.0.0.2"], False)],
)
def test_the_stream_goes_to_both_or_where_libvirt_likes(addresses: list[str], fine: bool) -> None:
    assert (addresses_problem(addresses) is None) == fine


def test_a_plan_for_them_says_what_is_sent_and_reads_back() -> None:
    plan = load(None, THEIRS)
    assert (plan.name, plan.lab.kind, plan.embedded, plan.foreign) == ("hosts", "libvirt", False, True)
    assert (plan.probes.echo_rate, plan.visitors.rates, plan.visitors.viewers) == (50.0, (5.0, 5.0), 0)
    assert parse(text_of(plan), "") == plan


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[axes]\nscenario = ["offline"]\n', "axes.scenario: of a domain of others only policy and downtime_limit"),
        ('[axes]\nmemory = ["2GiB"]\n', "axes.memory: of a domain of others"),
        ('families = ["ipv4", "ipv6"]\n', "families: a domain of others is measured at the address of its page alone"),
        ("[visitors]\nviewers = 1\n", "no viewer"),
        ("[capture]\nenabled = true\n", "there is no capture"),
        ('[observed]\ncommand = ["reboot"]\n', "observed.command: libvirt migrates the domain"),
        ('[axes]\npolicy = ["p"]\n[policies.p]\npause = { after = "1s" }\n', "a domain of others is not suspended"),
        ('[libvirt]\naddresses = ["10.0.0.1"]\n', "addresses: one of each host"),
        ("[libvirt]\nmay_reboot = true\n", "may_reboot: unknown key; did you mean 'may_restart'"),
    ],
)
def test_what_others_do_not_have_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(text)
    with pytest.raises(PlanError, match=words):
        load(str(path), THEIRS)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (Options(lab="qemu", hosts=f"{A},{B}", domain="web1", url="http://web1/"), "hosts are of the lab libvirt"),
        (Options(hosts=f"{A},{B}", url="http://web1/"), "domain: the name of the domain"),
        (Options(hosts=f"{A},{B}", domain="web1"), "url: a page of the domain is missing"),
        (Options(domain="web1"), "domain: it is of hosts of one's own, and libvirt.hosts names none"),
    ],
)
def test_hosts_domain_and_page_belong_together(options: Options, words: str) -> None:
    with pytest.raises(PlanError, match=words):
        load(None, options)


def test_definitions_stay_and_nothing_unsafe_is_forced() -> None:
    for name, policy in BUILT_IN.items():
        if refused(policy) is None:
            flags = request_of(policy, peer_to_peer=False).flags
            assert "VIR_MIGRATE_LIVE" in flags
            assert not [flag for flag in flags if "PERSIST" in flag or "UNDEFINE" in flag or "UNSAFE" in flag], name
            assert "VIR_MIGRATE_PEER2PEER" not in flags
            assert "VIR_MIGRATE_PEER2PEER" in request_of(policy, peer_to_peer=True).flags


def test_their_certificates_may_encrypt_and_nothing_suspends() -> None:
    assert refused(BUILT_IN["tls"]) is None
    assert "VIR_MIGRATE_TLS" in request_of(BUILT_IN["tls"], peer_to_peer=False).flags
    assert refused(Policy(pause=Moment(after_round=1))) == "pause: a domain of others is not suspended"
    assert "dirty_limit" in (refused(BUILT_IN["dirty-limit"]) or "")


@pytest.mark.parametrize(
    ("elapsed_s", "now_s", "ours"), [(10, 12, True), (12, 12, True), (0, 14, True), (0, 60, False), (40, 10, False)]
)
def test_a_job_is_ours_if_it_began_when_we_asked(elapsed_s: int, now_s: int, ours: bool) -> None:
    begun = Begun("web1", UUID, "a", "b", 1000 * SECOND, 300)
    assert begun.is_job(elapsed_s * 1000, (1000 + now_s) * SECOND) == ours


def test_one_run_at_a_time_migrates_a_domain(tmp_path: Path) -> None:
    record, other = Record(UUID, tmp_path), Record(UUID, tmp_path)
    assert other.busy() is None
    with record.held():
        assert other.busy() is not None
        with pytest.raises(UsageProblem, match="migrates this domain already"), other.held():
            pass
    with other.held():
        record.begin("web1", "a", "b", 300)
    left = other.left()
    assert left is not None
    assert (left.source, left.destination, left.limit_ms) == ("a", "b", 300)
    record.end()
    assert other.left() is None


def test_a_damaged_record_names_nothing(tmp_path: Path) -> None:
    (tmp_path / f"{UUID}.json").write_text('{"domain": "web1"}')
    assert Record(UUID, tmp_path).left() is None
    with pytest.raises(ValueError, match="UUID"):
        Record("../passwd", tmp_path)


def test_the_package_is_named_where_no_python_has_the_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python, "_TRY", "import migrascope_has_no_such_module")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoModule, match="next: apt-get install python3-libvirt"):
        python_with_libvirt()
