"""The probe of a cloud's API: it records answers and refusals, and writes no secret."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cloudlab import SERVER, made, no_secret
from fakecloud import PASSWORD, FakeCloud, Fault

from migrascope.cloud.client import Cloud
from migrascope.lab.boot_image import BootImage
from migrascope.lab.openstack.instance import CloudInstance, login
from migrascope.store.spool import Follower


@contextmanager
def probe(folder: Path, instance: CloudInstance, **more: Any) -> Iterator[subprocess.Popen[bytes]]:
    config = {
        **login("fake", folder / "clouds.yaml"), "server": instance.made.server, "port": instance.made.port,
        "interval_s": 0.05, "directory": str(folder / "tables"), "source": "nova", "host": "cloud", "instance": "vm-1",
        "migration": "m-1",
        **more,
    }  # fmt: skip
    (folder / "tables").mkdir()
    argv = [sys.executable, "-m", "migrascope.probe.nova", json.dumps(config)]
    assert PASSWORD not in " ".join(argv)
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        try:
            yield process
        finally:
            process.terminate()
            assert process.wait(10) == 0


@pytest.mark.usefixtures("quick")
def test_the_probe_records_what_the_api_answers_and_where_it_does_not(
    fake: FakeCloud, cloud: Cloud, boot: BootImage, tmp_path: Path
) -> None:
    instance = made(cloud, boot)
    fake.faults.append(Fault("GET .*/os-migrations", 403, "Policy doesn't allow it.", times=None))
    rows: list[list[Any]] = []
    follower = Follower(tmp_path / "tables" / "api@nova.jsonl")

    def answers(what: str) -> list[str]:
        rows.extend(follower.rows())
        return [error for _, _, kind, _, error in rows if kind == what]

    with probe(tmp_path, instance) as process:
        while len(answers("server")) < 3:
            assert process.poll() is None
        fake.faults += [
            Fault(f"GET {SERVER}", 500, "Unexpected API Error.", times=2),
            Fault(f"GET {SERVER}", 0, times=1),
        ]
        while not any(answers("server")) or answers("server")[-1]:
            assert process.poll() is None
        fake.tokens.clear()
        seen = len(answers("server"))
        while len(answers("server")) < seen + 3:
            assert process.poll() is None
    errors = [error for error in answers("server") if error]
    assert errors[:2] == ["cloud fake: Unexpected API Error."] * 2
    assert len(errors) == 3
    assert answers("record") == ["cloud fake: Policy doesn't allow it."]
    assert len(answers("actions")) == 1
    no_secret(tmp_path / "tables", fake)
