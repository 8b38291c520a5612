"""Errors that a user can act on: their message is shown as it is, without a traceback."""


class Problem(Exception):
    """Something could not be carried out; the message names it and the next command. code: the exit code."""

    code = 4


class UsageProblem(Problem):
    """A command or a plan that asks for what there is not."""

    code = 2
