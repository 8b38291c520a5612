"""Prints QEMU's events of one domain of one libvirt as JSON lines: [event, wall ns by QEMU, data].

Runs on a host's own Python with libvirt's module, to which it is given as text: no import but these. Ends with libvirt.
"""

import json
import sys
from typing import Any

import libvirt
import libvirt_qemu

uri, wanted = sys.argv[1:]


def say(*row: object) -> None:
    sys.stdout.write(json.dumps(row) + "\n")
    sys.stdout.flush()


def told(_conn: Any, domain: Any, event: str, seconds: int, micros: int, details: str, _opaque: Any) -> None:
    if domain.UUIDString() == wanted:
        say(event, seconds * 10**9 + micros * 1000, json.loads(details or "{}"))


libvirt.registerErrorHandler(lambda *_: None, None)
libvirt.virEventRegisterDefaultImpl()
connection = libvirt.open(uri)
libvirt_qemu.qemuMonitorEventRegister(connection, None, None, told, None, 0)
say("ready", 0, {})
while connection.isAlive():
    libvirt.virEventRunDefaultImpl()
