"""`disturbances`: what a plan can do to a trial beside migrating."""

from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter
from rich.table import Table

from migrascope.cli.console import Json, stdout
from migrascope.cli.output import print_json
from migrascope.study.disturbances import offers


def disturbances(
    *, lab: Annotated[str, Parameter(help="The lab: qemu or openstack.")] = "qemu", json: Json = False
) -> int:
    """Lists the kinds of disturbances, what each does, at what it can be aimed, and what it lacks on this machine."""
    found = offers(lab)
    if json:
        print_json([asdict(one) for one in found])
        return 0
    table = Table(box=None, show_header=False, pad_edge=False)
    for one in found:
        table.add_row("ok" if one.available else "missing", one.kind, ": ".join(one.abilities), one.why)
    stdout().print(table)
    return 0
