"""The card of a table of trials: what it holds, where it was measured, what may be done with it, and its columns."""

import csv
import io

import polars as pl

from migrascope.metrics.catalogue import meaning, metric_of
from migrascope.predict.collected import METRIC, SET
from migrascope.predict.trials import HELD_OUT_LINKS_BPS, HELD_OUT_PATTERNS
from migrascope.report.export.dictionary import FACTORS, TRIAL

LICENCE = "CC-BY-4.0"
COLUMNS = {
    "run": ("", "id of the run"),
    "why": ("", "why the trial is none for a model; empty where it is one"),
    "cell": ("", "all that was set; trials of one cell differ by chance alone"),
    "split": ("", "what the cell is for: fit, calibrate or held-out"),
    "accelerator": ("", "kvm or tcg"),
    "memory_bytes": ("B", "memory of the guest"),
    "held_bytes": ("B", "of it what held something but zeros, before the migration"),
    "dirty": ("s, B", "D(t) before the migration: [[period, bytes dirtied within it], ...] (JSON)"),
    "link_Bps": ("B/s", "payload that the link carries"),
    "form": ("", "kind of the policy"),
    "limits": ("s", "downtime limits: [[from, limit], ...] (JSON)"),
    "deadline_s": ("s", "when the migration is cancelled"),
    "slows": ("%", "auto-converge: [initial, increment, maximum] (JSON)"),
    "turns": ("s", "when it turns to post-copy: [after so many rounds, after so long] (JSON)"),
    "paused": ("s", "when the guest is paused, likewise"),
    "wire": ("ratio", "bytes on the link for a byte that goes first"),
    "again": ("ratio", "bytes on the link for a byte that goes again"),
    "channel_Bps": ("B/s", "memory that compression takes in"),
    "connections": ("", "over how many the migration goes at once"),
    "bound_Bps": ("B/s", "what the policy lets it send while the guest runs; null: as much as the link carries"),
    "ended": ("", "whether the migration ended; false where it was cancelled"),
    "time_s": ("s", "migration time; on the lab libvirt, since libvirt asked QEMU"),
    "pause_s": ("s", "VM pause"),
    "data_bytes": ("B", "data transferred"),
    "rounds": ("", "looks at the dirty bitmap"),
    "throttle": ("ratio", "share of the time for which the guest was held at last"),
    "machine": ("", "where it was measured"),
    "qemu": ("", "version of QEMU"),
    "beside": ("", "what else the machine did meanwhile; empty: not stated"),
    "settings": ("", "every migration capability and parameter on both sides, and the links' rates (JSON)"),
    "facts": ("", "what is known of the lab and the trial (JSON)"),
    "sampling_s": ("s", "how long the guest was sampled before its migration"),
    "round_log": ("s, B/s, ratio", "[number, since the request, dirty rate, throttle] of each round (JSON)"),
    "missing": ("", "each metric that was not measured, with the reason (JSON)"),
}
"""Unit and meaning of the columns that are no factor and no metric."""


def dictionary(table: pl.DataFrame) -> str:
    """Every column of a table: name, type, unit, meaning, as CSV."""
    out = io.StringIO()
    rows = [["column", "type", "unit", "meaning"]]
    rows += [[name, str(kind), *_said_of(name)] for name, kind in table.schema.items()]
    csv.writer(out).writerows(rows)
    return out.getvalue()


def _said_of(column: str) -> tuple[str, str]:
    """Unit and meaning."""
    if column.startswith(SET):
        name = column.removeprefix(SET)
        return "", FACTORS.get(name, "")
    if column.startswith(METRIC):
        key = column.removeprefix(METRIC)
        metric = metric_of(key)
        return (metric.unit if metric is not None else ""), meaning(key) or ""
    return COLUMNS.get(column) or ("", TRIAL.get(column, ""))


def card(table: pl.DataFrame) -> str:
    """README.md beside a table."""
    splits = dict(table.filter(pl.col("why") == "")["split"].value_counts().rows())
    statuses = dict(table["status"].value_counts().rows())
    links = ", ".join(f"{rate / 1e6:.0f} Mbit/s" for rate in HELD_OUT_LINKS_BPS)
    none = table.filter(pl.col("why") != "").height
    beside = _listed(table, "beside") or "not stated"
    patterns = ", ".join(HELD_OUT_PATTERNS)
    return f"""# Migrations, each with what was known before it

{table.height} trials of {table["cell"].n_unique()} cells and {table["run"].n_unique()} runs: one row each in
`trials.parquet`, its columns in `dictionary.csv`. `migrascope data RUN` adds the trials of a run and writes this page;
rows are never changed.

- Licence: {LICENCE}.
- What became of them: {_counts(statuses)}.
- Measured by Migrascope on: {_listed(table, "machine")}.
- Accelerator: {_listed(table, "accelerator")}, which are never pooled; QEMU {_listed(table, "qemu")}.
- Beside other work: {beside}.
- Not for a model, with the reason in `why`: {none}.

## The split is frozen

By cell, from its name alone, so that a trial that is added later changes nothing: cells of the pattern {patterns} and
of the link {links} are held out; of the others each third, by the SHA-256 of its name, calibrates intervals. Trials for
a model: {_counts(splits)}. Nothing may be fitted to cells that are held out, and `benchmarks/prediction.py` refuses to:
given `trials.parquet`, it prints how good each model is on them, published ones among them.

## Values

In base units (s, B, bit/s, B/s, ratio). Null was not measured, for the reason in `missing`. A metric that `at_least`
names was cut off, and is a lower bound. `set.` begins what was set, `metric.` what was measured; the columns without
are what a model reads.
"""


def _counts(found: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(found.items())) or "none"


def _listed(table: pl.DataFrame, column: str) -> str:
    return "; ".join(sorted({value for value in table[column].drop_nulls().to_list() if value}))
