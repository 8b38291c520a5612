"""The experiment on OpenStack, end to end: with everything of a testbed in reach, and by its API alone."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lab.cloud import Cloud, both_families
from lab.machine import LIGHT_EACH, json_of, migrascope
from lab.test_run import KEYS
from leaks import leaks, secrets_of
from migrascope.lab.testbed.life import clouds_yaml
from migrascope.metrics import openstack
from migrascope.metrics.hostclock import host_clocks
from migrascope.metrics.trial import measure
from migrascope.metrics.windows import windows_of
from migrascope.store.runfolder import RunFolder

pytestmark = pytest.mark.lab
OF_HYPERVISORS = {
    *("migration_time_s", "vm_pause_s", "reported_total_s", "reported_downtime_s", "reported_transferred_bytes"),
    *("data_transferred_bytes", "rounds", "dirty_rate_Bps"),
}
CLOCK_NS = 100_000
"""So much this machine's wall clock may be slewed between two of the pairs that put it on the monotonic one."""
LEFT = """
ours = [one.name for one in [
    *cloud.compute.servers(all_projects=True), *cloud.block_storage.volumes(all_projects=True), *cloud.network.ports(),
    *cloud.network.security_groups()] if one.name.startswith("ms") and getattr(one, "status", "") != "deleting"]
addresses = [one.floating_ip_address for one in cloud.network.ips() if "migrascope" in one.description]
print(json.dumps(ours + addresses))
"""


def run_of(folder: Path, plan: str, **environment: str) -> RunFolder:
    (folder / "plan.toml").write_text(plan)
    done = migrascope(
        "run", str(folder / "plan.toml"), "--quick", "--runs", str(folder / "runs"), timeout_s=600, **environment
    )
    assert done.returncode == 0, done.stderr
    return RunFolder(folder / "runs" / "latest")


@pytest.fixture(scope="module")
def near(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A trial with hosts, links and namespaces in reach, of a load that every machine bears: under the default 500
    probes/s a slow machine's guest is saturated beside the testbed's services, and its visits are withheld. Its network
    may be black for longer than a website may be silent: that is the testbed's, and measured here."""
    plan = (
        'name = "near"\nfamilies = ["ipv4", "ipv6"]\n'
        f'[lab]\nkind = "openstack"\n[cloud]\ntestbed = "{cloud.testbed.name}"\n'
        '[axes]\nscenario = ["online"]\npolicy = ["auto-converge"]\n[capture]\nenabled = true\n'
        f'[verdict]\nallow = "service lost"\n{LIGHT_EACH}'
    )
    return run_of(tmp_path_factory.mktemp("near"), plan)


@pytest.fixture(scope="module")
def far(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A trial with nothing in reach but the API and the visitors' network; with few visits, so that a guest on a busy
    machine is not saturated."""
    plan = (
        'name = "far"\n[lab]\nkind = "openstack"\n'
        f'[cloud]\nname = "migrascope"\nvisitors = "{cloud.client.path.name}"\n[axes]\nscenario = ["none"]\n'
        "[visitors]\nnew_rate = 2\nkept_rate = 2\nviewers = 0\n"
    )
    access = str(clouds_yaml(cloud.testbed))
    return run_of(tmp_path_factory.mktemp("far"), plan, OS_CLIENT_CONFIG_FILE=access)


def cell_of(run: RunFolder) -> dict[str, Any]:
    (cell,) = json_of("show", str(run.path))["cells"]
    assert (cell["trials"], cell["failed"]) == (1, 0), run.recordings()[0].trial.reason
    return dict(cell["metrics"])


def test_every_metric_of_the_main_job_is_there(near: RunFolder) -> None:
    metrics = cell_of(near)
    assert {key: metrics[key] for key in KEYS if metrics[key]["median"] is None} == {}


def test_the_layers_agree(near: RunFolder) -> None:
    value = {key: metric["median"] for key, metric in cell_of(near).items()}
    assert value["data_transferred_bytes"] == pytest.approx(value["reported_transferred_bytes"], rel=0.03)
    assert 0 < value["reported_downtime_s"] <= value["vm_pause_s"] + 0.001
    (recording,) = near.recordings()
    interval_s = 1 / recording.trial.plan["probes"]["echo_rate"]
    assert value["network_blackout_s"] >= value["vm_pause_s"] - interval_s
    assert value["vm_pause_s"] < value["migration_time_s"]


def test_every_layer_of_openstack_says_its_part(near: RunFolder) -> None:
    metrics = cell_of(near)
    layers = ("api_", "libvirt_", "step_s.", "wiring.", "network_wiring_s")
    absent = {key for key in metrics if key.startswith(layers) and metrics[key]["median"] is None}
    assert absent <= {"api_memory_bytes", "api_disk_bytes"}
    value = {key: metric["median"] for key, metric in metrics.items()}
    (recording,) = near.recordings()
    windows = windows_of(recording)
    assert windows.request is not None
    ended = openstack.ended(recording)
    assert ended is not None
    steps = sum(value[key] for key in value if key.startswith("step_s."))
    assert steps == pytest.approx((ended.middle_ns - windows.request) / 1e9, abs=2 * ended.bound_ns / 1e9)
    black = value["network_wiring_s"] + value["vm_pause_s"]
    assert value["network_blackout_high_s"] >= value["vm_pause_s"]
    assert black <= value["network_blackout_high_s"] + 0.1


def test_both_families_were_measured_in_it(near: RunFolder) -> None:
    (recording,) = near.recordings()
    found = measure(recording)
    both_families(found)
    assert [key for key in ("http_new_blackout_ipv6_s", "http_kept_blackout_ipv6_s") if found[key].value is None] == []
    for family in recording.trial.plan["families"]:
        view = recording.over(family)
        for table in ("echo_reply", "visit", "tcp_info"):
            assert view.table(table).height, (family, table)
    assert set(recording.table("liveness")["source"]) == {"liveness", "liveness-ipv6"}


def test_each_host_s_clock_is_read_as_it_is(near: RunFolder) -> None:
    """Both nodes have this machine's clock: each stamp lies where it was read; by two clocks the pause is the same."""
    (recording,) = near.recordings()
    clocks = host_clocks(recording)
    assert set(clocks) == {"controller", "compute"}
    for clock in clocks.values():
        assert clock.step_ns() == 0
        for reading in clock.readings:
            truth = recording.wall_clock.to_mono(reading.wall_ns)
            assert reading.asked_ns - CLOCK_NS <= truth <= reading.answered_ns + CLOCK_NS
    pause = measure(recording)["vm_pause_s"].value
    plan = recording.trial.plan
    recording.trial = replace(recording.trial, plan={**plan, "cloud": {**plan["cloud"], "name": "elsewhere"}})
    apart = measure(recording)["vm_pause_s"]
    assert apart.bound is not None
    assert apart.value == pytest.approx(pause, abs=apart.bound)


def test_the_checks_hold(near: RunFolder) -> None:
    (trial,) = json.loads((near.path / "summary.json").read_text())["trials"]
    assert {check["name"]: check["text"] for check in trial["checks"] if check["verdict"] != "pass"} == {}
    (told,) = (check["text"] for check in trial["checks"] if check["name"] == "policy")
    assert "post-copy off, auto-converge on, TLS off" in told
    unheard = [statement["text"] for statement in trial["verdict"]["statements"] if statement["verdict"] == "unknown"]
    assert unheard == []


def test_it_went_to_another_host_and_is_whole(near: RunFolder) -> None:
    (recording,) = near.recordings()
    trial = recording.trial
    assert {trial.source, trial.destination} == {"controller", "compute"}
    assert {name: found.verdict for name, found in trial.proof.items()} == dict.fromkeys(trial.proof, "pass")


@pytest.mark.soak
def test_the_api_and_the_visitors_are_enough_for_the_rest(cloud: Cloud, far: RunFolder) -> None:
    metrics = cell_of(far)
    absent = {key for key in KEYS if metrics[key]["median"] is None}
    assert absent == OF_HYPERVISORS | {"player_stall_s"}
    of_api = {key for key in metrics if key.startswith("api_") and metrics[key]["median"] is None}
    assert of_api <= {"api_memory_bytes", "api_disk_bytes"}
    (recording,) = far.recordings()
    assert recording.trial.plan["probes"]["echo_rate"] == 50
    answers = recording.table("api")
    assert {"server", "record", "actions"} <= set(answers["what"])
    assert cloud.sdk(LEFT) == []
    assert leaks(far.path, secrets_of(clouds_yaml(cloud.testbed))) == []


def test_nothing_is_left_in_the_cloud(cloud: Cloud, near: RunFolder) -> None:
    assert cloud.sdk(LEFT) == []


def test_no_secret_is_in_a_run(cloud: Cloud, near: RunFolder) -> None:
    assert leaks(near.path, secrets_of(clouds_yaml(cloud.testbed))) == []
