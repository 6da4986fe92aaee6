"""Audit: is the knowledge of a recipe usable, asked before any training and without a label."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from midclass.errors import InputError
from midclass.evaluation.ranking import FloatArray
from midclass.images.prepared import Prepared
from midclass.images.tiles import to_learn_from
from midclass.knowledge.acquisition import acquired
from midclass.preview.dim import spread_of
from midclass.preview.lengths import out_of_scale
from midclass.preview.negatives import exchanged
from midclass.preview.plausibility import plausibility
from midclass.preview.probe import FEWEST, probe_auroc
from midclass.preview.statistics import coarse
from midclass.preview.trial import Trial, batches, try_operator
from midclass.recipe.recipe import Recipe
from midclass.testing.seams import linear
from midclass.types import Progress

LITTLE = 0.02
"""Share of the image below which an anatomy is little."""
AUDITED = 2000
"""Tiles that are tried, about, where the recipe's view is that."""
STRENGTHS = (0.5, 1.0, 2.0)
"""Of the nuisance, in units of the recipe's."""


def audit(
    prepared: Prepared, recipe: Recipe, seed: int = 0, progress: Progress | None = None
) -> dict[str, Any]:
    """Measure what the recipe's knowledge makes of given-class images.

    Args:
        prepared: given-class samples; those without anatomy are counted and left out.
        recipe: whose operators and nuisance are tried.
        seed: of all draws.
        progress: called with (done, all, name).

    Returns:
        Figures, ready for JSON: ``images`` (of view tiles, how many tiles), ``patients``,
        ``anatomy``, ``spread`` (median standard deviation inside it, of the range),
        ``out_of_scale`` (what no sample can hold or show), ``classes`` (by name), ``pairs`` and
        ``nuisance``; None where something could not be measured.

    Raises:
        InputError: too few images with anatomy, or of one patient.
    """
    samples = to_learn_from(prepared, recipe.geometry, seed, most=AUDITED)
    rows = samples.with_anatomy(recipe.geometry.least_anatomy_mm2)
    patients = np.array([case.patient_id for case in prepared.cases])[samples.case_index[rows]]
    if len(rows) < FEWEST or len(set(patients)) < 2:
        raise InputError(
            f"{prepared.cases.name}: {len(rows)} images of {len(set(patients))} patients show the "
            f"anatomy; an audit needs {FEWEST} of 2 patients"
        )
    operators = recipe.operators()
    trials: dict[str, Trial] = {}
    for number, (name, operator) in enumerate(operators.items()):
        if progress is not None:
            progress(number, len(operators) + 1, name)
        rng = torch.Generator().manual_seed(seed * 1_000_003 + number)
        trials[name] = try_operator(operator, samples, rows, recipe, rng)
    if progress is not None:
        progress(len(operators), len(operators) + 1, "nuisance")
    return {
        "images": len(rows),
        "patients": len(set(patients)),
        "anatomy": anatomy_of(prepared, recipe),
        "spread": spread_of(prepared),
        "negatives": exchanged(prepared, recipe.geometry),
        "out_of_scale": out_of_scale(recipe, samples),
        "classes": {name: each.figures(patients) for name, each in trials.items()},
        "pairs": [
            {"classes": [a, b], **_of_pair(trials[a], trials[b], patients)}
            for a, b in combinations(trials, 2)
        ],
        "nuisance": _of_nuisance(samples, rows, patients, recipe, trials, seed),
    }


def anatomy_of(prepared: Prepared, recipe: Recipe) -> dict[str, Any]:
    """How much of the images the anatomy covers, where it is missing and where it is strange.

    Returns:
        Figures, ready for JSON: those of ``plausibility``, ``function`` (its name), ``covers``
        (share of the images with any; None where there is none), ``area_mm2`` likewise, ``none``
        and ``little`` (shares of the images) and ``least_mm2``.
    """
    covers = prepared.covered
    none = ~prepared.assessable
    little = (covers < LITTLE) | (prepared.anatomy_mm2 <= recipe.geometry.least_anatomy_mm2)
    return {
        "function": str(recipe.anatomy),
        "covers": _range(covers[~none]),
        "area_mm2": _range(prepared.anatomy_mm2[~none]),
        "least_mm2": recipe.geometry.least_anatomy_mm2,
        "by": prepared.anatomies(recipe.anatomies),
        "none": float(none.mean()),
        "little": float((little & ~none).mean()),
        **plausibility(prepared),
    }


def _range(values: NDArray[np.float64]) -> dict[str, float] | None:
    if not len(values):
        return None
    low, high = float(values.min()), float(values.max())
    return {"median": float(np.median(values)), "low": low, "high": high}


def _of_pair(first: Trial, second: Trial, patients: NDArray[Any]) -> dict[str, float | None]:
    """How well two middle classes can be told apart: as images, and by the change alone.

    ``chance`` is 3 standard errors above .5 (Hanley and McNeil, Radiology 143:29, 1982).
    """
    a, b = first.visible, second.visible
    n, m = max(1, a.sum()), max(1, b.sum())
    who = patients[first.index[a]], patients[second.index[b]]
    return {
        "auroc": probe_auroc(first.middle[a], second.middle[b], *who),
        "auroc_of_effect": probe_auroc(first.effect[a], second.effect[b], *who),
        "chance": 0.5 + 3 * float(np.sqrt((n + m + 1) / (12 * n * m))),
    }


def _of_nuisance(
    prepared: Prepared,
    rows: NDArray[np.int64],
    patients: NDArray[Any],
    recipe: Recipe,
    trials: dict[str, Trial],
    seed: int,
) -> dict[str, Any] | None:
    """What the nuisance alone does to a quick detector, learned from half of the patients."""
    nuisance = recipe.nuisance_operator()
    names = np.random.default_rng(seed).permutation(np.unique(patients))
    learns = np.isin(patients, names[: len(names) // 2])
    given = [each.given[learns[each.index] & each.visible] for each in trials.values()]
    middle = [each.middle[learns[each.index] & each.visible] for each in trials.values()]
    if nuisance is None or sum(map(len, middle)) < FEWEST or (~learns).sum() < FEWEST:
        return None
    labels = np.repeat([0, 1], [sum(map(len, given)), sum(map(len, middle))])
    model = linear().fit(np.concatenate([part for part in given + middle if len(part)]), labels)

    def scores(strength: float) -> FloatArray:
        rng = torch.Generator().manual_seed(seed)  # the same draws at every strength
        statistics = [
            coarse(acquired(prepared.batch(rows[~learns][part]), nuisance, rng, strength))[0]
            for part in batches(int((~learns).sum()), recipe.budget.batch)
        ]
        found: FloatArray = model.decision_function(np.concatenate(statistics))
        return found

    still = scores(0)
    threshold = float(np.quantile(still, 0.95, method="higher"))
    spread = max(float(still.std()), 1e-9)
    return {
        "strengths": [
            {
                "strength": strength,
                "shift": float((moved.mean() - still.mean()) / spread),
                "change": float(np.sqrt(np.mean((moved - still) ** 2)) / spread),
                "false_alarms": float((moved > threshold).mean()),
            }
            for strength, moved in ((s, scores(s)) for s in STRENGTHS)
        ],
    }
