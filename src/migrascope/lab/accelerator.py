"""Which accelerator runs a guest here: KVM only after a boot has proved it, for /dev/kvm can open and never run one."""

from pathlib import Path

from migrascope.node.process import ProcessError, Where, start, tail

CPU_MODEL = {"kvm": "host", "tcg": "qemu64"}
_ENOUGH_S = 20.0


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
    """Gives "kvm" if a boot proves it, else "tcg", which every QEMU has; wanted may be "auto".

    ProcessError, with QEMU's words, when "kvm" is wanted and runs no guest.
    """
    if wanted == "tcg":
        return wanted
    if Path("/dev/kvm").exists() and await works("kvm", program, root, kernel, folder):
        return "kvm"
    if wanted == "kvm":
        words = tail(folder / "proof-kvm.log") or "there is no /dev/kvm, or it runs no guest"
        raise ProcessError(f'no guest boots under KVM with {program}: {words}; leave lab.accelerator = "auto"')
    return "tcg"
