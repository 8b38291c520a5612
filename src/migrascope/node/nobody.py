"""Programs that run as nobody: what listens for others must not be root's."""

import os
from collections.abc import Sequence

USER = 65534
"""nobody's number, and nogroup's, on Debian: by numbers, so that no list of users is asked."""
LISTEN = "net_bind_service"
"""The capability to listen on a port below 1024, see capabilities(7)."""
_PARENT_LIVES = '[ "$PPID" = "$0" ] && exec "$@"'


def as_nobody(argv: Sequence[str], *capabilities: str) -> list[str]:
    """The command line that runs argv as nobody, with no capability but these, and none that it could gain.

    To change the user takes back the kernel's promise that the program dies with its parent; so that is asked anew.
    """
    kept = ",".join(["-all", *(f"+{name}" for name in capabilities)])
    return [
        "setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--no-new-privs", f"--bounding-set={kept}",
        f"--inh-caps={kept}", f"--ambient-caps={kept}", "--pdeathsig=KILL", "--", *argv,
    ]  # fmt: skip


def while_we_live(argv: Sequence[str]) -> list[str]:
    """The command line that runs argv only if this process, its parent, is there: between the change of the user and
    the promise that it dies with its parent, that may have been killed. Nobody must be able to run argv."""
    return ["/bin/sh", "-c", _PARENT_LIVES, str(os.getpid()), *argv]
