"""Names that become part of a path, or of the name of a namespace or cgroup: none of them leads anywhere else.

Whatever comes from a command line, a plan or a file on disk passes one of the two rules before a path is made of it.
"""

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema

from migrascope.model.problem import UsageProblem


@dataclass(frozen=True)
class Rule:
    """What a name may be. pattern: a regular expression for the whole of it; words: the same for people."""

    pattern: str
    words: str
    example: str

    def fits(self, name: object) -> bool:
        """Whether it is a name by this rule; what is no text is none."""
        return isinstance(name, str) and re.fullmatch(self.pattern, name) is not None

    def check(self, name: str) -> str:
        """The name itself. ValueError, with the rule and a valid example, where it does not fit."""
        if not self.fits(name):
            raise ValueError(f"{name!r} is no valid name: {self.words}, for example {self.example}")
        return name


OURS = Rule(
    "[a-z0-9][a-z0-9-]{0,39}",
    "lower-case letters, digits and hyphens, at most 40, the first no hyphen",
    "testbed-2",
)
"""Names that users of Migrascope give: of testbeds, plans, policies, disturbances; and run ids."""
FOREIGN = Rule(
    "[A-Za-z0-9_][A-Za-z0-9._-]{0,199}",
    "letters, digits, dots, hyphens and underscores, at most 200, the first no dot or hyphen",
    "compute-1.example.org",
)
"""Names that others have given: of hosts in a cloud, of network namespaces, ids of an API."""


def _optional(name: str) -> str:
    return FOREIGN.check(name) if name else ""


Name = Annotated[str, AfterValidator(OURS.check), WithJsonSchema({"type": "string", "pattern": f"^{OURS.pattern}$"})]
ForeignName = Annotated[
    str, AfterValidator(FOREIGN.check), WithJsonSchema({"type": "string", "pattern": f"^{FOREIGN.pattern}$"})
]
OptionalForeignName = Annotated[
    str, AfterValidator(_optional), WithJsonSchema({"type": "string", "pattern": f"^({FOREIGN.pattern})?$"})
]


def named(what: str, name: str, rule: Rule = OURS) -> str:
    """The name itself. UsageProblem, with the rule and a valid example, where it does not fit; what: whose it is."""
    try:
        return rule.check(name)
    except ValueError as error:
        raise UsageProblem(f"{what}: {error}") from None
