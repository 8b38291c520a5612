"""Errors that a user can act on: their message is shown as it is, without a traceback."""

COMMAND_LINE = "\n  command: "
"""What the command line of a program follows that failed, at the end of a message."""


class Problem(Exception):
    """Something could not be carried out; the message names it and the next command. code: the exit code."""

    code = 4


class RunStops(Problem):
    """What every later trial would meet, too: no trial is sealed with it, the run ends, and can be resumed."""


class NotThere(Problem):
    """What a trial needs of the network around it, and does not get: an address, an answer, the live stream."""


class UsageProblem(Problem):
    """A command or a plan that asks for what there is not."""

    code = 2
