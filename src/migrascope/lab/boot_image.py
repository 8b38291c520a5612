"""What every lab's instances boot."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class BootImage:
    """A kernel with its command line, an initramfs, and the raw disk below an instance's volume."""

    kernel: Path
    initrd: Path
    disk: Path
    kernel_line: str
