"""`observe --metrics`: what an observation leaves in the file for Prometheus."""

import json
import time
from pathlib import Path

import pytest
from commandline import migrascope
from exposed import in_file, named

from migrascope import __version__


def test_an_observation_leaves_its_whole_in_the_file(port: int, tmp_path: Path) -> None:
    argv = ["observe", "127.0.0.1", "--port", str(port), "--for", "1s", "--json", "--metrics", "vm.prom"]
    ended = migrascope(*argv, folder=tmp_path)
    assert (ended.code, ended.stderr) == (0, "metrics: vm.prom\n")
    assert [path.name for path in tmp_path.iterdir()] == ["vm.prom"]
    found, end = in_file(tmp_path / "vm.prom"), json.loads(ended.stdout.splitlines()[-1])
    of = {"target": "127.0.0.1", "address": "127.0.0.1", "kind": "tcp"}
    assert named(found, "migrascope_probes_sent_total", **of) == end["sent"] > 0
    assert named(found, "migrascope_probes_answered_total", **of) == end["answered"] > 0
    assert named(found, "migrascope_round_trip_seconds_count", **of) == end["answered"]
    assert 0 < named(found, "migrascope_round_trip_seconds_sum", **of) <= end["answered"] * end["rtt_max_s"] + 1e-9
    assert named(found, "migrascope_running") == 0
    assert named(found, "migrascope_build_info", version=__version__) == 1
    assert abs(named(found, "migrascope_last_reply_timestamp_seconds", **of) - time.time()) < 3600


@pytest.mark.usefixtures("_short_windows")
def test_a_command_that_moves_a_machine_is_a_run(port: int, tmp_path: Path) -> None:
    argv = ["observe", "127.0.0.1", "--port", str(port), "--metrics", "move.prom", "--", "true"]
    assert migrascope(*argv, folder=tmp_path).code == 0
    found = in_file(tmp_path / "move.prom")
    assert named(found, "migrascope_migrations_total", policy="command", outcome="ok") == 1
    assert named(found, "migrascope_figures_unknown_total", figure="vm_pause_seconds", reason="not-measured") == 1
    assert named(found, "migrascope_network_blackout_seconds_count", policy="command") == 1
