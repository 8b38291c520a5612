"""What became of a run as a whole, in a sentence, where its trials failed."""

from collections import Counter

from migrascope.analysis.summary import Summary

OVERLOADED = "overloaded"


def overload(summary: Summary) -> str | None:
    """How many trials failed for the machine's sake, before a migration was asked for, why, and what to do; None where
    none did. Where it was most of them the load is too much for the machine, else it was too busy at times."""
    late = [trial.facts for trial in summary.trials if trial.facts.status == OVERLOADED]
    if not late:
        return None
    why = Counter(facts.reason for facts in late).most_common(1)[0][0]
    planned = summary.load is not None and summary.load.how in ("plan", "run")
    fits = summary.load.fits if summary.load is not None else None
    if 2 * len(late) < len(summary.trials):
        folders = " ".join(f"trials/{facts.number}" for facts in late)
        todo = f"remove {folders} from the run's folder and run them again: migrascope run --resume {summary.run}"
    elif planned and fits is not None:
        todo = f"give at most {fits:.0f} visits/s of each kind in [visitors], or no number: then what fits is found"
    elif planned:
        todo = "leave new_rate and kept_rate out of [visitors]: then what fits this machine is found"
    else:
        todo = "end other work on this machine and run again"
    of = f"{len(late)} of {len(summary.trials)} trials"
    return f"{of} failed for the machine's sake: {why}\n  next: {todo}"


def nothing(summary: Summary) -> str | None:
    """Why no trial at all was carried out; None where one was."""
    if not summary.trials or any(trial.facts.status == "ok" for trial in summary.trials):
        return None
    reasons = Counter(f"{trial.facts.status}: {trial.facts.reason}" for trial in summary.trials)
    reason, times = reasons.most_common(1)[0]
    many = "the only trial" if len(summary.trials) == 1 else f"{times} of {len(summary.trials)} trials"
    return f"No trial was carried out, so that there are no figures; {many}: {reason}"
