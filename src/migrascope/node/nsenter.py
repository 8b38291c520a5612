"""`python -m migrascope.node.nsenter NAMESPACE PROGRAM ...`: becomes a program in the node that has this network
namespace now, whichever boot of it that is."""

import os
import sys
from collections.abc import Sequence

from migrascope.model.problem import Problem
from migrascope.node.container import inits, inside
from migrascope.node.namespace import Namespace


def command(namespace: Namespace, argv: Sequence[str]) -> tuple[str, ...]:
    """The command line of a program in the node, that holds for its later boots too."""
    return (sys.executable, "-P", "-m", __name__, namespace.name, *argv)


def main() -> None:
    namespace, *argv = sys.argv[1:]
    inode = Namespace(namespace).inode()
    pid = next(inits(inode), None) if inode is not None else None
    if pid is None:
        raise Problem(f"no node is up in {namespace}")
    found = inside(pid, argv)
    os.execvp(found[0], found)


if __name__ == "__main__":
    try:
        main()
    except Problem as problem:
        raise SystemExit(str(problem)) from None
