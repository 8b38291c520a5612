"""Carries out calls of libvirt's API on one host: each line of standard input is one, each line of output its answer.

A call: {"id": its number, "on": a domain's name or null for the connection, "call": the method, "args": [...]}. Of the
arguments {"flags": ["VIR_..."]} stands for their sum. "qmp" as a method asks QEMU. Answers: {"id", "result"}, or
{"id", "error": libvirt's words}. Calls do not wait for one another. Ends with its standard input.

Runs on a host's own Python with libvirt's module, to which it is given as text: no import but these.
"""

import json
import sys
import threading
from typing import Any

import libvirt
import libvirt_qemu

lock = threading.Lock()


def say(**answer: Any) -> None:
    with lock:
        sys.stdout.write(json.dumps(answer, default=lambda _: None) + "\n")
        sys.stdout.flush()


def argument(value: Any) -> Any:
    """LookupError where this libvirt has no such flag."""
    if not isinstance(value, dict) or "flags" not in value:
        return value
    total = 0
    for name in value["flags"]:
        if not hasattr(libvirt, name):
            raise LookupError(f"this libvirt has no {name}")
        total |= getattr(libvirt, name)
    return total


def carry_out(connection: Any, call: dict[str, Any]) -> None:
    try:
        args = [argument(value) for value in call["args"]]
        target = connection if call["on"] is None else connection.lookupByName(call["on"])
        if call["call"] == "qmp":
            answer = json.loads(libvirt_qemu.qemuMonitorCommand(target, json.dumps({"execute": args[0]}), 0))
            result = answer["return"]
        else:
            result = getattr(target, call["call"])(*args)
    except (libvirt.libvirtError, LookupError) as error:
        say(id=call["id"], error=str(error.args[0]))
    else:
        say(id=call["id"], result=result)


def main() -> None:
    libvirt.registerErrorHandler(lambda *_: None, None)
    connection = libvirt.open("qemu:///system")
    say(id=0, result={"libvirt": connection.getLibVersion(), "qemu": connection.getVersion()})
    for line in sys.stdin:
        threading.Thread(target=carry_out, args=(connection, json.loads(line)), daemon=True).start()


main()
