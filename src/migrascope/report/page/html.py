"""report.html: one file that opens offline. Its look is in templates/, what it says in sections.py."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

import jinja2
import vl_convert
from markupsafe import Markup

from migrascope.analysis.outcome import nothing, overload
from migrascope.analysis.results import CONCLUSIONS
from migrascope.analysis.summary import Summary
from migrascope.model.units import number_of
from migrascope.report.charts import specifications
from migrascope.report.charts.timeline import Timeline
from migrascope.report.columns import LEGEND, caution, factor_title, first_line, shown_factors, widened
from migrascope.report.page import (
    doses,
    downtime_budget,
    failures,
    fleet,
    layers,
    networks,
    policies,
    sections,
    step_durations,
    tiphon,
)
from migrascope.report.page.layers import Layers

_USED = "window.vegaEmbed = vegaEmbed;"


def render(
    summary: Summary,
    timelines: Mapping[int, Timeline],
    seen: Mapping[int, Layers],
    left_out: str,
    plan_text: str,
    files: list[tuple[str, str]],
) -> str:
    """The whole page. timelines: by trial number, those that the page can show; left_out says which it cannot. seen: on
    OpenStack, what its layers saw of these trials.
    files: (relative path, what it holds) of the tables written beside the page."""
    shown = shown_factors(summary.cells)
    conclusions = [finding for topic in CONCLUSIONS for finding in summary.findings if finding.topic == topic]
    axis = {
        "scatter-time": specifications.scatter(summary, "migration_time_s", "Migration time [s]", 1),
        "scatter-downtime": specifications.scatter(summary, "reported_downtime_s", "Reported downtime [ms]", 1e-3),
        "policies-picture": policies.picture(summary),
        "doses-picture": doses.picture(summary),
        "trial-axis": specifications.trial_axis() if timelines else None,
    }
    return template("report.html.j2").render(
        run=summary.run,
        first_line=first_line(summary),
        caution=caution(summary),
        overload=overload(summary) or nothing(summary),
        load=summary.load.words() if summary.load is not None else "",
        conclusions=[finding for finding in conclusions if finding.verdict != "unknown"],
        still_open=[finding for finding in conclusions if finding.verdict == "unknown"],
        checks=[f for f in summary.findings if f.topic not in CONCLUSIONS],
        trials_total=number_of("trial", len(summary.trials)),
        trials_failed=sum(cell.failed for cell in summary.cells),
        costs=sections.costs(summary, shown),
        legend=" ".join(words for words in (LEGEND, widened(summary)) if words),
        policies=policies.table(summary),
        networks=networks.table(summary),
        doses=doses.table(summary),
        doses_picture_note=doses.PICTURE_NOTE,
        failures=failures.matrix(summary, timelines),
        fleet=fleet.table(summary),
        budget=downtime_budget.section(summary, shown),
        specs={name: spec for name, spec in axis.items() if spec is not None},
        correlations={
            topic: sections.texts(summary.findings, topic) for topic in ("data-time", "data-downtime", "limit")
        },
        chooser=sections.chooser(summary, timelines, shown),
        left_out=left_out,
        data=sections.data(timelines),
        steps=step_durations.steps(summary, shown),
        layers={number: layers.drawn(states) for number, states in seen.items()},
        quality=sections.quality(summary, shown),
        grades=sections.grades(summary, shown),
        sniffer=sections.sniffer(summary, shown),
        tiphon_source=tiphon.SOURCE,
        tiphon_delays=list(tiphon.DELAYS_S),
        calibration=sections.calibration(summary),
        trials=[sections.trial(trial, shown, summary.calibration) for trial in summary.trials],
        signs=any(trial.shown is not None for trial in summary.trials),
        factor_titles=[factor_title(name) for name in shown],
        every=sections.every(summary, shown),
        environment=list(sections.flat(summary.environment)),
        plan_text=plan_text,
        files=files,
        script=libraries(),
        json=_json,
    )


@cache
def template(name: str) -> jinja2.Template:
    """A page's template: compiled once, since each of its parts takes as long as a page to fill in."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("migrascope.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(name)


@cache
def libraries() -> Markup:
    """The script that draws the charts; to make it takes a second."""
    return Markup(vl_convert.javascript_bundle(_USED).replace("</script", "<\\/script"))


def _json(value: Any) -> Markup:
    """JSON that is safe inside a script element."""
    return Markup(json.dumps(value, separators=(",", ":")).replace("<", "\\u003c"))
