"""Whose files a run leaves: under sudo, those of the user who called it."""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path


def hand_over(folder: Path, environment: Mapping[str, str] = os.environ) -> None:
    """Gives what root made in a folder, and the folder, to the user who called sudo; without sudo it does nothing."""
    if os.geteuid() != 0 or "SUDO_UID" not in environment:
        return
    user, group = int(environment["SUDO_UID"]), int(environment["SUDO_GID"])
    for path in (folder, *folder.rglob("*")):
        with contextlib.suppress(FileNotFoundError):
            if path.lstat().st_uid == 0:
                os.lchown(path, user, group)
