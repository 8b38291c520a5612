"""Which accelerator runs a guest here: KVM only after a boot has proved it."""

from pathlib import Path

from migrascope.node.process import ProcessError, Where, start

# Real mode: mov dx, 0xf4; mov al, 0x10; out dx, al; hlt. With isa-debug-exit QEMU then ends with 0x10 * 2 + 1.
_BOOT_SECTOR = bytes([0xBA, 0xF4, 0x00, 0xB0, 0x10, 0xEE, 0xF4]).ljust(510, b"\0") + b"\x55\xaa"
_PROVED = 33


async def works(accelerator: str, program: str, root: Path | None, folder: Path) -> bool:
    """Whether a guest's first instructions ran under this accelerator within 5 s."""
    if accelerator == "kvm" and not Path("/dev/kvm").exists():
        return False
    sector = folder / "proof.img"
    sector.write_bytes(_BOOT_SECTOR)
    argv = [program, "-nodefaults", "-no-user-config", "-display", "none", "-accel", accelerator, "-m", "16"]
    argv += ["-drive", f"file={sector},format=raw,if=ide", "-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"]
    process = await start("the accelerator's proof", argv, Where(None, root), folder / f"proof-{accelerator}.log")
    try:
        return await process.wait(5) == _PROVED
    except TimeoutError:
        return False
    finally:
        await process.kill()


async def choose(wanted: str, program: str, root: Path | None, folder: Path) -> str:
    """Gives "kvm" or "tcg". ProcessError when the wanted one ("auto" takes what there is) runs no guest."""
    for accelerator in ("kvm", "tcg") if wanted == "auto" else (wanted,):
        if await works(accelerator, program, root, folder):
            return accelerator
    words = (folder / "proof-tcg.log").read_text(errors="replace") if (folder / "proof-tcg.log").exists() else ""
    raise ProcessError(f"no guest boots under {wanted} with {program}: {words.strip() or 'it gave no sign of life'}")
