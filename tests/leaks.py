"""Secrets in the files of a folder, compressed tables and captures included."""

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

_SECRET = re.compile("password|passcode|secret|token|private|credential_id", re.IGNORECASE)


def secrets_of(clouds_yaml: Path) -> list[str]:
    """Every secret of a clouds.yaml that is JSON as well."""
    return sorted(set(_secrets(json.loads(clouds_yaml.read_text(encoding="utf-8")))))


def _secrets(value: Any, name: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _secrets(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from _secrets(inner, name)
    elif _SECRET.search(name):
        yield str(value)


def leaks(folder: Path, secrets: list[str]) -> list[tuple[str, str]]:
    """(file, secret) of each that is there. AssertionError where there is no file or no secret to look for."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    assert secrets
    found = []
    for path in files:
        content = _content(path)
        found += [(str(path), secret) for secret in secrets if secret.encode() in content or secret in path.name]
    return found


def _content(path: Path) -> bytes:
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes())
    if path.suffix == ".parquet":
        texts = pl.read_parquet(path).select(pl.col(pl.String))
        return "\n".join(text for column in texts for text in column.unique().drop_nulls()).encode()
    return path.read_bytes()
