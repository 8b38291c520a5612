"""Follows what OVN does for one port on this host, and prints a JSON array for each line that its own programs say:
[what, wall ns at which it was read, the line].

Runs on a node's own Python, to which it is given as text: no import but these. Ends with its standard input, and with
it the programs that it has started. One that ends, as its database does, is started again.
"""

import json
import re
import subprocess
import sys
import threading
import time

AGAIN_S = 0.5
config = json.loads(sys.argv[1])
over = threading.Event()
one_at_a_time = threading.Lock()
running: dict[str, subprocess.Popen[str]] = {}


def remote() -> str:
    """Where this host's ovn-controller finds the southbound database; empty where it has none."""
    ask = ["ovs-vsctl", "--timeout=5", "--if-exists", "get", "Open_vSwitch", ".", "external_ids:ovn-remote"]
    try:
        return subprocess.run(ask, capture_output=True, text=True, check=False).stdout.strip().strip('"')
    except OSError:
        return ""


def commands(southbound: str) -> dict[str, tuple[list[str], str]]:
    """The programs to follow, by what they tell, each with what a line that counts contains."""
    port = re.escape(config["port"])
    visited = [f"arp_tpa={re.escape(address)}[ ,]" for address in config["addresses"]]
    monitor = ["ovsdb-client", "--timestamp", "--format=json", "monitor"]
    local = [*monitor, "unix:/run/openvswitch/db.sock", "Open_vSwitch", "Interface"]
    found = {
        "interface": ([*local, "name,external_ids,ofport,link_state,!initial"], port),
        # Table 0 of br-int is where frames come from ports, 65 where they go to them; who answers for an address has a
        # flow for ARP that asks for it.
        "flow": (
            ["ovs-ofctl", "--timestamp", "-O", "OpenFlow14", "monitor", "br-int", "watch:!initial"],
            "|".join(["table=(0|65) ", *visited]),
        ),
    }
    if config["southbound"]:
        columns = "logical_port,chassis,additional_chassis,requested_chassis,requested_additional_chassis,up,options"
        distant = [*monitor, southbound, "OVN_Southbound"]
        found["binding"] = ([*distant, "Port_Binding", f"{columns},!initial"], port)
        found["chassis"] = ([*distant, "Chassis", "name"], '"data"')
    return found


def follow(what: str, command: list[str], counts: str) -> None:
    """Prints what the program says until it ends, and starts it again."""
    while not over.is_set():
        child = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        running[what] = child
        if over.is_set():
            child.terminate()
        for line in child.stdout or ():
            if re.search(counts, line):
                told = json.dumps([what, time.time_ns(), line.strip()])
                with one_at_a_time:  # print writes a line and its end one after the other
                    print(told, flush=True)
        child.wait()
        over.wait(AGAIN_S)


def main() -> None:
    southbound = remote()
    print(json.dumps(["ready" if southbound else "none"]), flush=True)
    if not southbound:
        return
    threads = [threading.Thread(target=follow, args=(what, *given)) for what, given in commands(southbound).items()]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    over.set()
    for child in list(running.values()):
        child.terminate()
    for thread in threads:
        thread.join()


main()
