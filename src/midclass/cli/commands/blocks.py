"""Blocks: what is said of some cases at a time, by whichever process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field

from midclass.cli.commands.shown import Shown
from midclass.cli.console import unseen_of
from midclass.detectors.base import Detector
from midclass.detectors.cohort_scores import score_table, with_failed
from midclass.detectors.equipment import with_equipment
from midclass.detectors.framing import Side, sides_of
from midclass.detectors.heat_maps import kept_heat_maps
from midclass.evaluation.table import NotAssessed, ScoreTable
from midclass.images.cohort import Case, Cohort
from midclass.images.prepared import Prepared


@dataclass(frozen=True)
class Wording:
    """What every table says.

    Attributes:
        not_assessed: what becomes of cases that cannot be assessed.
        series: add the column ``series_id``.
        equipment: add the columns of ``with_equipment``.
    """

    not_assessed: NotAssessed = "review"
    series: bool = False
    equipment: bool = False


@dataclass(frozen=True)
class ScoredBlock:
    """Some cases, scored.

    Attributes:
        table: a row for each of them.
        series: to which each of them belongs; "" for none.
        failed: those that could not be prepared, and why.
        samples: how many could be.
        anatomies: how many samples are by each anatomy.
        contents: what each case shows, see ``identity.content_of``.
        unseen: the first that could be prepared and not assessed, and why.
        sides: how patients lie beside the given class, see ``framing.sides_of``.
    """

    table: ScoreTable
    series: tuple[str, ...]
    failed: tuple[tuple[Case, str], ...]
    samples: int
    anatomies: Mapping[str, int]
    contents: tuple[str, ...]
    unseen: tuple[tuple[str, str], ...]
    sides: Mapping[str, Side] = field(default_factory=dict)


def scored_block(
    detector: Detector,
    cases: Cohort,
    prepared: Prepared,
    wording: Wording,
    shown: Shown,
    first: int = 0,
    drawn: Callable[[], object] = lambda: None,
) -> ScoredBlock:
    """Score some cases, and show their samples.

    Args:
        detector: fitted.
        cases: n of them.
        prepared: those of them that could be prepared.
        wording: of the table.
        shown: where pictures and objects go, if anywhere.
        first: number of the first sample.
        drawn: called after each sample that was shown.
    """
    table, anatomies = None, dict[str, int]()
    contents, unseen = list[str](), list[tuple[str, str]]()
    if len(prepared):
        contents = prepared.contents
        prepared = detector.by_plausible_anatomy(prepared)
        with ExitStack() as stack:
            looks = detector.looks(prepared, heat_maps=bool(shown))
            if shown:  # maps of many images do not fit into memory
                maps = stack.enter_context(kept_heat_maps(shown.room))
                looks = maps.keeping(looks)
            table = score_table(
                detector,
                prepared,
                looks,
                series=wording.series,
                not_assessed=wording.not_assessed,
            )
            unseen = unseen_of(table)
            if shown:
                shown.write(detector, prepared, maps, table, first, drawn)
            del looks
        anatomies = prepared.anatomies(detector.recipe.anatomies)
    whole = _whole(detector, cases, table, prepared, prepared.failed, wording)
    return ScoredBlock(
        whole,
        tuple(case.series_id for case in cases),
        prepared.failed,
        len(prepared),
        anatomies,
        tuple(contents),
        tuple(unseen),
        sides_of(detector, prepared) if len(prepared) else {},
    )


def failed_block(detector: Detector, cases: Cohort, reason: str, wording: Wording) -> ScoredBlock:
    """Some cases none of which could be scored, for one reason."""
    failed = tuple((case, f"{case.path}: {reason}") for case in cases)
    whole = _whole(detector, cases, None, None, failed, wording)
    return ScoredBlock(whole, tuple(case.series_id for case in cases), failed, 0, {}, (), ())


def _whole(
    detector: Detector,
    cases: Cohort,
    table: ScoreTable | None,
    prepared: Prepared | None,
    failed: tuple[tuple[Case, str], ...],
    wording: Wording,
) -> ScoreTable:
    whole = with_failed(
        detector,
        cases,
        table,
        failed,
        series=wording.series,
        not_assessed=wording.not_assessed,
    )
    return with_equipment(whole, cases, prepared) if wording.equipment else whole
