"""Equipment: columns of a score table that say how its images were taken."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from midclass.evaluation.table import ScoreTable
from midclass.images.acquired import taken_of
from midclass.images.cohort import Cohort
from midclass.images.prepared import Prepared


def with_equipment(table: ScoreTable, cohort: Cohort, prepared: Prepared | None) -> ScoreTable:
    """The same table with the columns ``week``, ``device`` and ``spacing_mm``.

    Args:
        table: a row for each case of the cohort.
        cohort: n cases.
        prepared: those of them that could be prepared; the spacing (mm, of the rows of the source)
            is empty of the others, and where it was assumed. None where none could.
    """
    taken, spacing = taken_of(cohort), dict[str, float]()
    if prepared is not None and len(prepared):
        spacing = _spacing_of(prepared)
    extra = {
        "week": np.array([one.week for one in taken], np.str_),
        "device": np.array([one.device for one in taken], np.str_),
        "spacing_mm": np.array([spacing.get(case.case_id, np.nan) for case in cohort]),
    }
    return replace(table, extra={**table.extra, **extra})


def _spacing_of(prepared: Prepared) -> dict[str, float]:
    """Of the source of each case's first sample, where it is known, to three digits."""
    found, (high, wide) = {}, prepared.shape[2:]
    first = np.unique(prepared.case_index, return_index=True)[1].tolist()
    for case, row in zip(prepared.cases, first, strict=True):
        if not prepared.store.assumed[prepared.rows[row]]:
            of_sample = float(prepared.spacing_mm[row, 0])
            pixels, _ = prepared.placement(row).sizes((high, wide))
            found[case.case_id] = float(f"{of_sample / pixels:.3g}")
    return found
