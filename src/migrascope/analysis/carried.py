"""How the data that migrations carried came to differ: set by the plan, or an outcome of the guest."""

from collections.abc import Sequence

from migrascope.analysis.summary import TrialResult

SETTING = {"resident_bytes": "resident memory", "cache": "the page cache"}
"""Factors by which a plan sets the data that a migration carries."""
GUEST = ("scenario", "memory_bytes", "vcpus", "write_Bps", "write_set_bytes", "write_pattern")
"""Factors of the guest from which the data follow."""


def clusters(results: Sequence[TrialResult]) -> str:
    """A sentence, with a space before it, on what set the data and in how many clusters, of which a correlation over
    trials knows nothing; "" where nothing of the guest differs."""
    every = [vars(result.facts.factors) for result in results]
    setting = {key: {factors[key] for factors in every} for key in SETTING}
    through = " and ".join(SETTING[key] for key, levels in setting.items() if len(levels) > 1)
    kinds = len({tuple(factors[key] for key in GUEST) for factors in every})
    together = len({tuple(factors[key] for key in (*SETTING, *GUEST)) for factors in every})
    if through and kinds > 1:
        return f" The data were set through {through}, and followed from {kinds} kinds of guest: {together} clusters."
    if through:
        return f" The data were set through {through}: {together} clusters."
    if kinds > 1:
        return f" The data were not set but followed from {kinds} kinds of guest: an association of {kinds} clusters."
    return ""
