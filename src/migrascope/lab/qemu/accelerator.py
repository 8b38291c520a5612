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
    """Gives "kvm" or "tcg"; wanted may be "auto". ProcessError, with QEMU's words, when no guest runs under it."""
    candidates = ("kvm", "tcg") if wanted == "auto" else (wanted,)
    for accelerator in candidates:
        if accelerator == "kvm" and not Path("/dev/kvm").exists():
            continue
        if await works(accelerator, program, root, kernel, folder):
            return accelerator
    words = tail(folder / f"proof-{candidates[-1]}.log") or "it gave no sign of life"
    raise ProcessError(f"no guest boots with {program} under {' or '.join(candidates)}: {words}")
