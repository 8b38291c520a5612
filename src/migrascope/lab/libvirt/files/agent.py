"""Carries out calls of libvirt's API on one host: each line of standard input is one, each line of output its answer.

Arguments: the libvirt's URI; "write", or "read" for a connection that may change nothing; "ours", or "theirs" where a
migration that it has asked for goes on to its end whatever becomes of who started this program.

A call: {"id": its number, "on": [kind, key] as LOOKUPS knows it, or null for the connection, "call": the method,
"args": [...]}. What is "stored" has as its key "pool/volume". Of the arguments {"flags": ["VIR_..."]} stands for their
sum, {"connect": URI} for a connection to another libvirt. "qmp" as a method asks QEMU: a command, and its arguments
where it has some; "stats" gives a domain's own statistics of the groups that are asked for, "hears" tries whether
QEMU's events are told to us, "fill" and "fetch" write a file of this machine to a volume, and what a volume holds to a
file.
Answers: {"id", "result"}, things of libvirt's by their names, or {"id", "error": libvirt's words}. Calls do not wait
for one another. Ends with its standard input.

Runs on a Python with libvirt's module, to which it is given as text: no import but these.
"""

import contextlib
import json
import os
import sys
import threading
from typing import Any

import libvirt
import libvirt_qemu

LOOKUPS = {
    "name": "lookupByName",
    "domain": "lookupByUUIDString",
    "network": "networkLookupByName",
    "pool": "storagePoolLookupByName",
    "volume": "storageVolLookupByPath",
}
KEEP_S, KEEPS = 5, 12
"""A host is gone that has not answered so many times, once in so many seconds."""
lock = threading.Lock()


def named(thing: Any) -> str | None:
    return thing.name() if hasattr(thing, "name") else None


def say(**answer: Any) -> None:
    with lock, contextlib.suppress(BrokenPipeError):
        sys.stdout.write(json.dumps(answer, default=named) + "\n")
        sys.stdout.flush()


def argument(value: Any) -> Any:
    """LookupError where this libvirt has no such flag."""
    if not isinstance(value, dict) or not {"flags", "connect"} & value.keys():
        return value
    if "connect" in value:
        return libvirt.open(value["connect"])
    total = 0
    for name in value["flags"]:
        if not hasattr(libvirt, name):
            raise LookupError(f"this libvirt has no {name}")
        total |= getattr(libvirt, name)
    return total


def hears(connection: Any) -> bool:
    number = libvirt_qemu.qemuMonitorEventRegister(connection, None, None, lambda *_: None, None, 0)
    libvirt_qemu.qemuMonitorEventDeregister(connection, number)
    return True


def found(connection: Any, kind: str, key: str) -> Any:
    if kind == "stored":
        pool, volume = key.split("/", 1)
        return connection.storagePoolLookupByName(pool).storageVolLookupByName(volume)
    return getattr(connection, LOOKUPS[kind])(key)


def asked(domain: Any, command: str, arguments: dict[str, Any] | None = None) -> Any:
    """LookupError in QEMU's words, which libvirt passes on as an answer."""
    text = json.dumps({"execute": command, "arguments": arguments or {}})
    answer = json.loads(libvirt_qemu.qemuMonitorCommand(domain, text, 0))
    if "error" in answer:
        raise LookupError(f"{command}: {answer['error']['desc']}")
    return answer["return"]


def fill(connection: Any, volume: Any, path: str) -> None:
    stream = connection.newStream(0)
    with open(path, "rb") as file:
        volume.upload(stream, 0, os.fstat(file.fileno()).st_size, 0)
        stream.sendAll(lambda _, most, source: source.read(most), file)
        stream.finish()


def fetch(connection: Any, volume: Any, path: str) -> None:
    stream = connection.newStream(0)
    with open(path, "wb") as file:
        volume.download(stream, 0, 0, 0)
        stream.recvAll(lambda _, data, target: target.write(data), file)
        stream.finish()


MOVES = {"fill": fill, "fetch": fetch}


def carry_out(connection: Any, call: dict[str, Any]) -> None:
    try:
        args = [argument(value) for value in call["args"]]
        target = connection
        if call["on"] is not None:
            target = found(connection, *call["on"])
        if call["call"] == "qmp":
            result = asked(target, *args)
        elif call["call"] == "stats":
            result = next((stats for _, stats in connection.domainListGetStats([target], *args)), {})
        elif call["call"] == "hears":
            result = hears(connection)
        elif call["call"] in MOVES:
            result = MOVES[call["call"]](connection, target, *args)
        else:
            result = getattr(target, call["call"])(*args)
    except (libvirt.libvirtError, LookupError, AttributeError, OSError) as error:
        say(id=call["id"], error=str(error) if isinstance(error, OSError) else str(error.args[0]))
    else:
        say(id=call["id"], result=result)


def turn() -> None:
    while True:
        libvirt.virEventRunDefaultImpl()


def main(uri: str, how: str, whose: str) -> None:
    if whose == "theirs" and (child := os.fork()):
        os.waitpid(child, 0)  # who kills this process does not end what it has asked for
        os._exit(0)
    libvirt.registerErrorHandler(lambda *_: None, None)
    libvirt.virEventRegisterDefaultImpl()
    threading.Thread(target=turn, daemon=True).start()
    try:
        connection = libvirt.open(uri) if how == "write" else libvirt.openReadOnly(uri)
        if whose == "theirs":
            connection.setKeepAlive(KEEP_S, KEEPS)
        versions = {"libvirt": connection.getLibVersion(), "qemu": connection.getVersion()}
    except libvirt.libvirtError as error:
        say(id=0, error=str(error.args[0]))
        return
    say(id=0, result=versions)
    for line in sys.stdin:
        call = json.loads(line)
        lasts = call["call"].startswith("migrate")
        threading.Thread(target=carry_out, args=(connection, call), daemon=not lasts).start()


main(*sys.argv[1:])
