"""`doctor`: whether this machine can run the lab, and what to do if not."""

from dataclasses import asdict

from rich.table import Table

from migrascope.cli.console import Json, stdout
from migrascope.cli.output import print_json
from migrascope.model.problem import Problem
from migrascope.study.doctor import Check, checks


def doctor(*, json: Json = False) -> int:
    """Says what this machine has and lacks for the QEMU lab, with the next command. 4 if the lab cannot run here."""
    found = checks()
    ready = not any(check.blocks for check in found)
    if json:
        print_json({"schema": 1, "ready": ready, "checks": [asdict(check) for check in found]})
    else:
        table = Table(box=None, show_header=False, pad_edge=False)
        for check in found:
            table.add_row(_word(check), check.name, check.found, "" if check.verdict == "pass" else check.remedy)
        stdout().print(table)
        stdout().print("the lab can run here" if ready else "the lab cannot run here")
    return 0 if ready else Problem.code


def _word(check: Check) -> str:
    if check.verdict == "fail":
        return "missing" if check.needed else "note"
    return "ok" if check.verdict == "pass" else "unknown"
