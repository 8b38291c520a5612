"""Asks a Ceph cluster each interval how it is, and prints a JSON array for each answer.

Runs on a node's own Python with Ceph's module, to which it is given as text: no import but these. Ends with its
standard input.
"""

import json
import sys
import threading
import time

import rados

config = json.loads(sys.argv[1])
over = threading.Event()


def end() -> None:
    sys.stdin.read()
    over.set()


def main() -> None:
    cluster = rados.Rados(conffile="/etc/ceph/ceph.conf")
    cluster.connect(timeout=5)
    print('["ready"]', flush=True)
    threading.Thread(target=end, daemon=True).start()
    due = time.monotonic()
    while not over.wait(max(0.0, due - time.monotonic())):
        asked = time.monotonic_ns()
        code, answer, _ = cluster.mon_command(json.dumps({"prefix": "status", "format": "json"}), b"", timeout=5)
        answered = time.monotonic_ns()
        if code:
            print(json.dumps([asked, answered, "", "", -1, -1]), flush=True)
        else:
            status = json.loads(answer)
            traffic, health = status["pgmap"], status["health"]
            why = ", ".join(sorted(health.get("checks", {})))
            rates = [int(traffic.get(f"{way}_bytes_sec", 0)) for way in ("read", "write")]
            print(json.dumps([asked, answered, health["status"], why, *rates]), flush=True)
        due = max(due + config["interval_s"], time.monotonic())


main()
