"""The search for secrets in a run finds them in every kind of file that a run has."""

import gzip
import json
from pathlib import Path

import polars as pl
import pytest

from leaks import leaks, secrets_of

SECRET = "s3cret-of-the-cloud"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "summary.json").write_text("{}")
    return tmp_path / "run"


def test_a_secret_is_found_in_every_kind_of_file(run: Path) -> None:
    assert leaks(run, [SECRET]) == []
    with gzip.open(run / "capture.pcapng.gz", "wb") as file:
        file.write(b"\0" * 9000 + SECRET.encode())
    pl.DataFrame({"at": [1, 2], "answer": ["", f'{{"x": "{SECRET}"}}']}).write_parquet(run / "api.parquet")
    (run / "events.ndjson").write_text(json.dumps({"words": SECRET}))
    assert sorted(Path(path).name for path, _ in leaks(run, [SECRET])) == [
        "api.parquet", "capture.pcapng.gz", "events.ndjson",
    ]  # fmt: skip


def test_every_secret_of_a_clouds_yaml_is_looked_for(tmp_path: Path) -> None:
    auth = {"auth_url": "http://x", "username": "u", "password": "p1"}
    clouds = {"one": {"auth": auth}, "two": {"auth": {"application_credential_secret": "p2"}, "token": "p3"}}
    (tmp_path / "clouds.yaml").write_text(json.dumps({"clouds": clouds}))
    assert secrets_of(tmp_path / "clouds.yaml") == ["p1", "p2", "p3"]
