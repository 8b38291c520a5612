"""A testbed's secrets: random for each testbed, the same for its life, for root alone."""

import base64
import stat
import uuid
from pathlib import Path

import pytest

from migrascope.model.problem import UsageProblem
from migrascope.testbed.secrets import Secrets
from migrascope.testbed.settings import Migration, Settings


def test_secrets_last_as_long_as_their_file_and_differ_between_testbeds(tmp_path: Path) -> None:
    first = Secrets.of(tmp_path / "one").password("nova")
    assert Secrets.of(tmp_path / "one").password("nova") == first
    assert Secrets.of(tmp_path / "other").password("nova") != first
    assert stat.S_IMODE((tmp_path / "one").stat().st_mode) == 0o600


def test_a_key_that_was_being_written_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "one.part").write_bytes(b"half")
    assert len(Secrets.of(tmp_path / "one").password("nova")) == 32


def test_each_purpose_has_its_own_secret_in_the_form_that_its_service_reads() -> None:
    secrets = Secrets(bytes(32))
    assert secrets.password("nova") != secrets.password("glance")
    assert uuid.UUID(secrets.uuid("libvirt")).version == 4
    assert len(base64.urlsafe_b64decode(secrets.fernet_key("0"))) == 32
    ceph = base64.b64decode(secrets.ceph_key("client.admin"))
    assert (len(ceph), ceph[:2], ceph[10:12]) == (28, b"\x01\0", b"\x10\0")


def test_nova_refuses_no_setting_that_is_taken() -> None:
    with pytest.raises(UsageProblem, match="downtime_ms is at least 100"):
        Migration(downtime_ms=50)


def test_settings_survive_their_file() -> None:
    settings = Settings(name="other", migration=Migration(downtime_ms=100))
    assert Settings.from_json(settings.to_json()) == settings
