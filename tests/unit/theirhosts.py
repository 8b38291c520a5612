"""Two hosts of others and a domain on them, played by a stand-in of libvirt's module: their state is a file."""

import fcntl
import json
import sys
from pathlib import Path
from typing import Any

import pytest

A, B = "qemu+ssh://a/system", "qemu+ssh://b/system"
HOSTS = f"{A},{B}"
UUID = "6ffb2c5a-2b5d-4d9e-9f0b-0d5b0a1f7c11"
XML = f"""<domain type="kvm"><name>web1</name><uuid>{UUID}</uuid>
<os><type arch="x86_64" machine="pc-q35-10.0">hvm</type></os><cpu mode="custom"><model>Skylake-Server</model></cpu>
<devices><disk type="file" device="disk"><source file="/srv/web1.qcow2"/><target dev="vda"/></disk>
<disk type="network" device="disk"><source protocol="rbd" name="pool/web1"/><target dev="vdb"/></disk>
<disk type="file" device="cdrom"><target dev="sda"/></disk>
<interface type="bridge"><source bridge="br0"/></interface>
<interface type="network"><source network="default"/></interface></devices></domain>"""
RUNNING, PAUSED, OFF = 1, 3, 5
DIRTY = {"rates": {"1": 12, "2": 10, "4": 8, "8": 7}, "refuses": "", "rss": 250 * 1024, "busy": 0.5, "period": 0,
         "looks": 0}  # fmt: skip
"""What a guest of 512 MiB writes, and holds."""


class TheirHosts:
    """The state as tests set and read it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        hosts = {uri: self._host(name) for uri, name in ((A, "a"), (B, "b"))}
        domain = {"name": "web1", "uuid": UUID, "xml": XML, "persistent": True}
        self.write(
            hosts=hosts, domain=domain, states={"a": RUNNING}, limits={"a": 450}, job=None, events=[], asked=[],
            migrates_s=0.3, fails="", unheard="", dirty=DIRTY,
        )  # fmt: skip

    @staticmethod
    def _host(name: str) -> dict[str, Any]:
        there = {"volumes": {"/srv/web1.qcow2": 2**30}, "networks": {"default": 1}, "interfaces": ["lo", "br0"]}
        return {"name": name, "uuid": f"uuid-of-{name}", "refuses": "", "read_only": True, **there}

    def read(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))
        return found

    def write(self, **changes: Any) -> None:
        """A client that ran before may still be ending."""
        with self.path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            before = self.read() if self.path.exists() else {}
            self.path.write_text(json.dumps(before | changes), encoding="utf-8")

    def host(self, uri: str, **changes: Any) -> None:
        """Changes one host."""
        hosts = self.read()["hosts"]
        self.write(hosts=hosts | {uri: hosts[uri] | changes})


@pytest.fixture
def their_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TheirHosts:
    """They are reached by the first python3 on the PATH, which has the stand-in. What is written down of migrations is
    in the test's folder."""
    programs, module = tmp_path / "bin", Path(__file__).parent / "fakelibvirt"
    programs.mkdir()
    python = programs / "python3"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={module} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("FAKE_LIBVIRT", str(tmp_path / "hosts.json"))
    monkeypatch.setattr("migrascope.lab.hosts.record.STATE", tmp_path / "state")
    return TheirHosts(tmp_path / "hosts.json")
