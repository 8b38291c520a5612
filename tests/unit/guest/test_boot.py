"""The guest's boot script: what it says of addresses that it has made of what a router advertises."""

import subprocess
from importlib import resources
from pathlib import Path

import pytest

from migrascope.lab.hosts.guest import addresses6_in

LOOP = "00000000000000000000000000000001 01 80 10 80       lo"
LINK = "fe80000000000000505400fffe0a1b2c 02 40 20 80     eth0"
OWN = "20010db800000000505400fffe0a1b2c 02 40 00 {}     eth0"
OTHER = "fd4d696772610004505400fffe0a1b2c 02 40 00 {}     eth0"
FIRST, SECOND = "2001:db8::5054:ff:fe0a:1b2c", "fd4d:6967:7261:4:5054:ff:fe0a:1b2c"


def said(folder: Path, *tables: list[str]) -> str:
    """What it writes on the console where the kernel has these tables of addresses (/proc/net/if_inet6), one after
    another, each for one look."""
    text = resources.files("migrascope.guest").joinpath("files/rc").read_text("utf-8")
    body = text[text.index("advertised() {") : text.index("\n}\n", text.index("advertised() {")) + 3]
    for number, lines in enumerate(tables):
        (folder / f"table-{number}").write_text("".join(f"{line}\n" for line in lines))
    console, now = folder / "console", folder / "now"
    next_one = f'sleep() {{ mv "{folder}/table-$((looked += 1))" {now}; }}; looked=0; b=; mv {folder}/table-0 {now}'
    script = f"set -eu\n{next_one}\n" + body.replace("/proc/net/if_inet6", str(now)).replace(
        "/dev/console", str(console)
    )
    subprocess.run(["sh", "-c", f"{script}advertised"], check=True, timeout=20)
    return console.read_text()


@pytest.mark.parametrize(
    ("tables", "addresses"),
    [
        ([[LOOP, LINK, OWN.format("00")]], [FIRST]),
        ([[LOOP], [LOOP, LINK], [LOOP, LINK, OWN.format("40")], [LOOP, OWN.format("00"), LINK]], [FIRST]),
        ([[OWN.format("00"), OTHER.format("40")], [OWN.format("00"), OTHER.format("00")]], [FIRST, SECOND]),
        ([[OWN.format("20"), OTHER.format("00")]], [SECOND]),
        ([[OWN.format("01"), OTHER.format("00")]], [SECOND]),
    ],
    ids=["there", "tried for duplicates", "two prefixes", "deprecated", "temporary"],
)
def test_it_says_them_once_the_kernel_has_tried_all(
    tmp_path: Path, tables: list[list[str]], addresses: list[str]
) -> None:
    assert addresses6_in(said(tmp_path, *tables)) == addresses
