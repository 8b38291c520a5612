"""Certificates of a lab: an authority of its own, and one for each end of a migration stream (X.509, as QEMU reads it).

They live as long as the lab, in a folder that only root can read.
"""

from pathlib import Path

from migrascope.lab.qemu.monitor import Monitor
from migrascope.lab.qemu.settings import TLS_OBJECT
from migrascope.node.process import Where, run

PROGRAM = "openssl"
FOLDER = "tls"
_DAYS = "2"
_CONFIG = "[req]\ndistinguished_name = name\n[name]\n"
_CURVE = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", _DAYS]


async def make(folder: Path, addresses: list[str]) -> None:
    """Makes folder/tls with ca-cert.pem and the certificate and key of server and client, for these addresses.

    ProcessError with the program's words when one cannot be made.
    """
    home = folder / FOLDER
    home.mkdir(mode=0o700)
    for name in ("ca-key.pem", "server-key.pem", "client-key.pem"):
        (home / name).touch(mode=0o600)
    config = home / "request.cnf"
    config.write_text(_CONFIG, encoding="ascii")
    begin = [PROGRAM, "req", "-x509", "-config", str(config), *_CURVE]
    here = Where()
    files = ["-keyout", str(home / "ca-key.pem"), "-out", str(home / "ca-cert.pem")]
    usage = ["-addext", "keyUsage=critical,keyCertSign", "-addext", "basicConstraints=critical,CA:TRUE"]
    await run(PROGRAM, [*begin, *files, "-subj", "/CN=migrascope lab", *usage], here)
    for end in ("server", "client"):
        files = ["-keyout", str(home / f"{end}-key.pem"), "-out", str(home / f"{end}-cert.pem")]
        signer = ["-CA", str(home / "ca-cert.pem"), "-CAkey", str(home / "ca-key.pem")]
        names = ",".join(f"IP:{address}" for address in addresses)
        usage = [f"subjectAltName={names}", f"extendedKeyUsage={end}Auth", "keyUsage=critical,digitalSignature"]
        usage += ["basicConstraints=critical,CA:FALSE"]
        extensions = [word for text in usage for word in ("-addext", text)]
        await run(PROGRAM, [*begin, *signer, *files, "-subj", f"/CN={end}", *extensions], here)
    (home / "ca-key.pem").unlink()
    config.unlink()
    for path in home.iterdir():
        path.chmod(0o600)


async def show(monitor: Monitor, folder: Path, *, server: bool) -> None:
    """Gives a QEMU its certificate, and lets it ask for the other's. MonitorError when it does not take it."""
    creds = {"qom-type": "tls-creds-x509", "id": TLS_OBJECT, "dir": str(folder / FOLDER), "verify-peer": True}
    await monitor.execute("object-add", {**creds, "endpoint": "server" if server else "client"})
