"""Which accelerator runs a guest here: KVM only after a boot has proved it, for /dev/kvm can open and never run one."""

import contextlib
import time
from pathlib import Path
from typing import Any

from migrascope.node.paths import STATE
from migrascope.node.process import ProcessError, Where, start, tail
from migrascope.store.atomic import write_json
from migrascope.store.document import read_object

CPU_MODEL = {"kvm": "host", "tcg": "qemu64"}
DEVICE = Path("/dev/kvm")
KEPT = STATE / "kvm.json"
"""When KVM ran no guest, by what was tried: not each lab waits for the same answer again."""
KEPT_S = 86400.0
_ENOUGH_S = 20.0
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


async def works(accelerator: str, program: str, root: Path | None, kernel: Path, folder: Path) -> bool:
    """Whether the guest's kernel comes up under this accelerator so far that it misses its root file system."""
    serial, log = folder / f"proof-{accelerator}.serial", folder / f"proof-{accelerator}.log"
    argv = [program, "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-m", "256"]
    argv += ["-accel", accelerator, "-cpu", CPU_MODEL[accelerator], "-machine", "q35"]
    argv += ["-kernel", str(kernel), "-append", "console=ttyS0 panic=-1", "-serial", f"file:{serial}"]
    process = await start(f"a guest under {accelerator}", argv, Where(None, root), log)
    try:
        return await process.wait(_ENOUGH_S) == 0 and "Unable to mount root fs" in tail(serial, 1000)
    except TimeoutError:
        return False
    finally:
        await process.kill()


async def choose(wanted: str, program: str, root: Path | None, kernel: Path, folder: Path) -> str:
    """Gives "kvm" if a boot proves it, else "tcg", which every QEMU has; wanted may be "auto". What proved nothing is
    tried again after a day, after a boot of this machine, where the device was made anew, and where "kvm" is wanted.

    ProcessError, with QEMU's words, when "kvm" is wanted and runs no guest.
    """
    if wanted == "tcg":
        return wanted
    if DEVICE.exists():
        tried, failed = _tried(program, root), _failed()
        if wanted == "kvm" or tried not in failed:
            proved = await works("kvm", program, root, kernel, folder)
            others = {each: at for each, at in failed.items() if each != tried}
            _keep(others if proved else {**others, tried: time.time()})
            if proved:
                return "kvm"
    if wanted == "kvm":
        words = tail(folder / "proof-kvm.log") or "there is no /dev/kvm, or it runs no guest"
        raise ProcessError(f'no guest boots under KVM with {program}: {words}; leave lab.accelerator = "auto"')
    return "tcg"


def _tried(program: str, root: Path | None) -> str:
    """A load of KVM's module makes the device anew."""
    device = DEVICE.stat()
    return f"{_BOOT_ID.read_text().strip()} {device.st_ino} {device.st_ctime_ns} {root or ''} {program}"


def _failed() -> dict[str, Any]:
    now = time.time()
    with contextlib.suppress(OSError, ValueError, TypeError):
        return {tried: at for tried, at in read_object(KEPT).items() if 0 <= now - at < KEPT_S}
    return {}


def _keep(failed: dict[str, Any]) -> None:
    """Where it cannot be kept, the next lab waits again."""
    with contextlib.suppress(OSError):
        KEPT.parent.mkdir(parents=True, exist_ok=True)
        write_json(KEPT, failed)
