"""What a test needs of the machine: missing, it is skipped by hand and a failure in continuous integration."""

import os
import shutil
from pathlib import Path

import pytest


def need(condition: object, reason: str) -> None:
    """Goes on if the condition holds. Otherwise the test fails where CI=true, and is skipped elsewhere."""
    if not condition:
        if os.environ.get("CI") == "true":
            pytest.fail(f"needed here: {reason}", pytrace=False)
        pytest.skip(reason)


def need_lab() -> None:
    """Root, and a device from which interfaces are made."""
    need(os.geteuid() == 0, "root")
    need(Path("/dev/net/tun").exists(), "/dev/net/tun")


def chromium() -> str:
    """The path of the distribution's Chromium."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    need(path, "Chromium; apt-get install chromium")
    assert path is not None
    return path


def prometheus_program() -> str:
    """The path of Prometheus. ./test installs it in continuous integration alone: on a machine with an init the package
    begins to listen on every address."""
    path = shutil.which("prometheus")
    need(path, "Prometheus; apt-get install --no-install-recommends prometheus")
    assert path is not None
    return path


def tshark_program() -> str:
    """The path of tshark, an independent reader of captures."""
    path = shutil.which("tshark")
    need(path, "tshark; apt-get install tshark")
    assert path is not None
    return path
