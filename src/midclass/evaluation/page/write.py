"""Write: the page of an evaluation, one HTML file that needs nothing else and no network."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from midclass.evaluation import operating
from midclass.evaluation.conformal import aim, smallest_rate
from midclass.evaluation.operating import operating_points, predictive_values
from midclass.evaluation.page import cases, figures, words
from midclass.evaluation.page.cases import Which
from midclass.evaluation.page.run import SHEET, Run
from midclass.evaluation.panel import gradient, meaning
from midclass.evaluation.report import false_alarms
from midclass.evaluation.subgroups import subgroups
from midclass.version import __version__

TEMPLATES = Path(__file__).parent / "templates"
PREVALENCE = 0.01
"""That a reader finds first, and changes."""


def environment(*folders: Path) -> Environment:
    """Where templates of pages come from; whatever they show is escaped."""
    made = Environment(
        loader=FileSystemLoader([*folders, TEMPLATES]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=True,
    )
    for name in ("percent", "between"):
        made.filters[name] = _unbroken(getattr(words, name))
    for filter_ in (words.area, words.count, words.part, words.pointing, words.series):
        made.filters[filter_.__name__] = filter_
    made.globals["version"] = __version__
    return made


def _unbroken(said: Callable[..., str]) -> Callable[..., str]:
    """The same, and no line ends before a sign of percent."""
    return lambda *given: said(*given).replace(" %", "\N{NO-BREAK SPACE}%")


def html(run: Run, which: Which = "some") -> str:
    """The page of a run.

    Args:
        run: what an evaluation wrote.
        which: cases that have their picture on the page; "some" keeps it below 5 MB for 1000.
    """
    table, summary = run.table, run.figures
    listed = cases.listed(table)
    place = {row: number for number, row in enumerate(listed.tolist())}
    pictures = cases.shown(run, which, listed)
    alarm, word = summary["false_alarm_rate"], aim(summary["promised"])
    most = 0.0 if word == "promised" else summary["promised"].get("high", 0.0)
    return (
        environment()
        .get_template("page.html.j2")
        .render(
            run=run,
            figures=summary,
            aim=word,
            kept=None if alarm is None else words.kept(alarm, summary["max_fpr"], word, most),
            limits=words.limits(run),
            provenance=words.provenance(run),
            roc=figures.roc(run),
            precision_recall=figures.precision_recall(run),
            promise=figures.promise(run, 0.25),
            p_values=figures.promise(run, 1.0),
            scores=figures.scores(run),
            training=[chart for one in _histories(run) for chart in figures.training(one)],
            undescribed=next((one.get("undescribed") for one in _histories(run)), None),
            nuisance=figures.nuisance(run),
            nuisance_rates=None if run.nuisance is None else false_alarms(run.nuisance),
            points=_points(run),
            prevalence=PREVALENCE,
            subgroups=subgroups(table),
            localisation=summary.get("localisation"),
            errors={
                name: [place[row] for row in some.tolist() if row in place]
                for name, some in cases.errors(table).items()
            },
            patients=None if run.patients is None else cases.patients(run.patients),
            rows=cases.rows(table, listed),
            pictures=pictures,
            unlisted=len(table) - len(listed),
            sheet=None if run.sheet is None else cases.uri(SHEET, run.sheet),
            heat=_heat(run),
        )
    )


def _histories(run: Run) -> Sequence[Any]:
    found: Sequence[Any] = run.detector.get("histories", [])
    return found[:1]  # of folds the first, as an example


def _points(run: Run) -> list[dict[str, Any]]:
    """Operating points, and what they mean at the first prevalence."""
    number = run.detector.get("calibrated", {}).get("cases", 0)
    number = run.figures["promised"].get("independent", number)
    own = run.figures["max_fpr"]
    least = min(smallest_rate(number), own) if number else own  # its own is in use, however few
    found = operating_points(run.table, [*operating.RATES, own], least)
    return [
        {
            "point": one,
            "own": one.max_fpr == own,
            "at": predictive_values(one.sensitivity.value, one.specificity.value, PREVALENCE),
        }
        for one in found
    ]


def _heat(run: Run) -> dict[str, Any] | None:
    """What the colours are and mean; None where no scale is known."""
    from midclass.evaluation.heat import HeatScale

    scale = run.detector.get("heat")
    if not scale:
        return None
    stops = (255 * gradient()[0, ::9]).round().astype(int).tolist()
    return {"meaning": meaning(HeatScale(**scale)), "stops": [f"rgb{tuple(one)}" for one in stops]}
