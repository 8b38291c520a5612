"""Stands for libvirt's module for QEMU."""

from collections.abc import Callable
from typing import Any

import libvirt


def qemuMonitorEventRegister(connection: Any, _domain: Any, _event: Any, callback: Callable[..., None], *_: Any) -> int:
    number: int = libvirt.heard(connection, callback)
    return number


def qemuMonitorEventDeregister(_connection: Any, _number: int) -> None:
    """Who asks no more is told nothing."""
