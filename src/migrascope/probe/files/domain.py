"""Watches one domain of one libvirt, and prints a JSON array for each thing seen: the table's name and its row.

Runs on a host's own Python with libvirt's module, to which it is given as text: no import but these. Ends with its
standard input.
"""

import itertools
import json
import queue
import sys
import threading
import time
from typing import Any

import libvirt
import libvirt_qemu

CLOCK = "migrascope-clock"
CLOCK_S = 0.5
# A job that ends at once, for its node is not there: no disk is touched. QEMU tells of its beginning with a stamp.
NO_JOB = {"driver": "qcow2", "file": "migrascope-no-such-node", "size": 65536}

config = json.loads(sys.argv[1])
lock = threading.Lock()
stopped, over, here, active, migrating = (threading.Event() for _ in range(5))
completed: "queue.SimpleQueue[Any]" = queue.SimpleQueue()
stamps: "queue.SimpleQueue[tuple[str, int]]" = queue.SimpleQueue()
numbers = itertools.count(1)


def say(*row: object) -> None:
    with lock:
        sys.stdout.write(json.dumps(row) + "\n")
        sys.stdout.flush()


def qemu_event(_conn: Any, domain: Any, event: str, seconds: int, micros: int, details: str, _opaque: Any) -> None:
    if domain.UUIDString() == config["domain"]:
        wall = seconds * 10**9 + micros * 1000 if seconds >= 0 else 0
        if event == "JOB_STATUS_CHANGE" and (job := json.loads(details))["id"].startswith(CLOCK):
            if job["status"] == "created":
                stamps.put((job["id"], wall))
            return
        say("qmp_event", event, wall, time.monotonic_ns(), details or "{}")
        if event == "STOP":
            stopped.set()
            migrating.clear()
        if event == "MIGRATION" and json.loads(details)["status"] == "active":
            active.set()
            migrating.set()
        if event == "MIGRATION" and json.loads(details)["status"] in ("completed", "failed", "cancelled"):
            migrating.clear()
        if event == "MIGRATION" and json.loads(details)["status"] == "completed" and stopped.is_set():
            completed.put(domain)  # QEMU's own last figures are there until libvirt ends it, some 20 ms later


def lifecycle(_conn: Any, domain: Any, event: int, detail: int, _opaque: Any) -> None:
    if domain.UUIDString() == config["domain"]:
        say("libvirt_event", "lifecycle", time.monotonic_ns(), json.dumps({"event": event, "detail": detail}))


def job_completed(_conn: Any, domain: Any, params: dict[str, Any], _opaque: Any) -> None:
    if domain.UUIDString() == config["domain"]:
        say("libvirt_event", "job-completed", time.monotonic_ns(), json.dumps(params))


def jobs(connection: Any, flags: int, kind: str) -> None:
    asked = time.monotonic_ns()
    try:
        answer = connection.lookupByUUIDString(config["domain"]).jobStats(flags)
    except libvirt.libvirtError:
        return
    if answer.get("type"):
        say("libvirt_job", asked, time.monotonic_ns(), kind, json.dumps(answer))


def query(connection: Any, command: str) -> None:
    if not config["monitor"]:
        return
    try:
        domain = connection.lookupByUUIDString(config["domain"])
        # A domain that is coming in answers nothing until it has come.
        if domain.state() == [libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_MIGRATION] and not stopped.is_set():
            return
        here.set()
    except libvirt.libvirtError:
        if here.is_set():  # gone again, which is an answer too
            say("qmp_status", time.monotonic_ns(), 0, command, "")
        return
    ask(domain, command)


def ask(domain: Any, command: str) -> None:
    if not config["monitor"]:
        return
    asked, answer, answered = time.monotonic_ns(), "", 0
    try:
        said = json.loads(libvirt_qemu.qemuMonitorCommand(domain, json.dumps({"execute": command}), 0))
        answer, answered = json.dumps(said["return"]), time.monotonic_ns()
    except (libvirt.libvirtError, KeyError):
        pass
    say("qmp_status", asked, answered, command, answer)


def command(domain: Any, name: str, **arguments: Any) -> bool:
    """Whether QEMU carried it out."""
    told = json.dumps({"execute": name, "arguments": arguments})
    return "return" in json.loads(libvirt_qemu.qemuMonitorCommand(domain, told, 0))


def clock(connection: Any) -> None:
    """What the host's clock says between a command and its answer: the stamp of an event that the command provokes."""
    if not config["monitor"]:
        return
    try:
        domain = connection.lookupByUUIDString(config["domain"])
        if domain.state()[0] != libvirt.VIR_DOMAIN_RUNNING:
            return
        job = f"{CLOCK}-{next(numbers)}"
        asked = time.monotonic_ns()
        begun = command(domain, "blockdev-create", **{"job-id": job, "options": NO_JOB})
        answered = time.monotonic_ns()
        command(domain, "job-dismiss", id=job)
        while begun:
            told, wall = stamps.get(timeout=CLOCK_S)
            if told == job:
                say("host_clock", asked, answered, wall)
                return
    except (libvirt.libvirtError, queue.Empty):
        return


def told(connection: Any) -> None:
    """How each migration was set, from QEMU itself while it runs: libvirt sets it anew for each, and takes it back."""
    while True:
        active.wait()
        query(connection, "query-migrate-capabilities")
        query(connection, "query-migrate-parameters")
        active.clear()


def main() -> None:
    libvirt.registerErrorHandler(lambda *_: None, None)
    libvirt.virEventRegisterDefaultImpl()

    def turn() -> None:
        while True:
            libvirt.virEventRunDefaultImpl()

    threading.Thread(target=turn, daemon=True).start()
    connection = libvirt.open(config["uri"])
    refused = ""
    try:
        libvirt_qemu.qemuMonitorEventRegister(connection, None, None, qemu_event, None, 0)
    except libvirt.libvirtError as error:  # not everybody may hear them
        refused = str(error.args[0])
    connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, lifecycle, None)
    connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_JOB_COMPLETED, job_completed, None)

    def end() -> None:
        sys.stdin.read()
        over.set()

    threading.Thread(target=end, daemon=True).start()
    say("ready")
    if refused:
        say("libvirt_event", "qemu-unheard", time.monotonic_ns(), json.dumps({"why": refused}))

    def last() -> None:
        while True:
            ask(completed.get(), "query-migrate")

    threading.Thread(target=last, daemon=True).start()
    threading.Thread(target=told, args=(connection,), daemon=True).start()
    interval, due = config["interval_s"], time.monotonic()
    read = due - CLOCK_S
    while not over.wait(max(0.0, due - time.monotonic()) if interval else None):
        if not connection.isAlive():
            return
        query(connection, "query-status")
        query(connection, "query-migrate")
        if migrating.is_set():  # Nova raises the downtime limit in steps: what counts is the one at the switchover
            query(connection, "query-migrate-parameters")
        jobs(connection, 0, "running")
        if time.monotonic() >= read + CLOCK_S:
            read = time.monotonic()
            clock(connection)
        due = max(due + interval, time.monotonic())
    jobs(connection, libvirt.VIR_DOMAIN_JOB_STATS_COMPLETED | libvirt.VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED, "completed")


main()
