"""`disturbances`: what a plan can do to a trial beside migrating."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter
from rich.table import Table

from migrascope.cli.console import Json, stdout
from migrascope.cli.output import print_json
from migrascope.model.kinds import KINDS
from migrascope.study.doctor.disturbances import Offer, offers


def disturbances(
    *, lab: Annotated[str, Parameter(help="The lab: qemu, libvirt or openstack.")] = "qemu", json: Json = False
) -> int:
    """Lists the kinds of disturbances of a lab, how each is brought about, and what this machine lacks for it. As JSON:
    every kind, with the phases at which it can be aimed."""
    found = offers(lab)
    if json:
        print_json([asdict(offer) for offer in found])
        return 0
    there = [offer for offer in found if lab in KINDS[offer.kind].labs]
    width = max(len(offer.kind) for offer in there)
    for ability in dict.fromkeys(offer.abilities[0] for offer in there):
        _say(f"{ability[0].upper()}{ability[1:]}")
        stdout().print(_table([offer for offer in there if offer.abilities[0] == ability], width))
    for why in dict.fromkeys(offer.why for offer in there if not offer.available):
        lacking = [offer.kind for offer in there if offer.why == why]
        _say(f"✗ {why}" if len(lacking) == len(there) else f"✗ {', '.join(lacking)}: {why}")
    elsewhere: dict[str, list[str]] = {}
    for offer in found:
        if offer not in there:
            elsewhere.setdefault(" and ".join(KINDS[offer.kind].labs), []).append(offer.kind)
    for labs, kinds in elsewhere.items():
        _say(f"Only on the lab {labs}: {', '.join(kinds)}")
    return 0


def _table(offered: Sequence[Offer], width: int) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(width=1)
    table.add_column(width=width)
    for offer in offered:
        table.add_row("" if offer.available else "✗", offer.kind, "; ".join(offer.abilities[1:]))
    return table


def _say(text: str) -> None:
    stdout().print(text, markup=False)
