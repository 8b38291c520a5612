"""What is done in a node to bring a service up, as data: actions in tasks, and tasks that need one another.

A task that has been done on a testbed's state is not done again: at the next start only its Units and Await are, since
a node that boots starts nothing by itself. A task whose content has changed is done again as a whole, so each action
must be safe to repeat. A Command that was cut short need not be: a new testbed then starts over. No secret may be in an
argv: it goes through a file or stdin.
"""

from dataclasses import dataclass

from migrascope.node.container import File

__all__ = ["Action", "Await", "Command", "File", "Task", "Units"]


@dataclass(frozen=True)
class Command:
    """A program that must end with 0."""

    argv: tuple[str, ...]
    stdin: str = ""
    timeout_s: float = 120


@dataclass(frozen=True)
class Units:
    """Units of the node's systemd: masked first, then stopped, then started, until systemd says that they are."""

    start: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    mask: tuple[str, ...] = ()


@dataclass(frozen=True)
class Await:
    """A program that is repeated until it ends with 0. what: that for which it waits, in words."""

    argv: tuple[str, ...]
    timeout_s: float
    what: str
    every_s: float = 0.5


Action = File | Command | Units | Await


@dataclass(frozen=True)
class Task:
    """Actions in one node, one after the other, as soon as the tasks that it needs are done."""

    name: str
    node: str
    needs: tuple[str, ...]
    actions: tuple[Action, ...]
