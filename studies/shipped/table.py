"""Put this study's overview into README.md, and with what local normals do into docs/results.md."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from midclass import ScoreTable
from midclass.evaluation.conformal import conformal_threshold
from midclass.study.markdown import page_command, pages_with, rows_under, table

HERE = Path(__file__).resolve().parent
README, RESULTS = HERE.parents[1] / "README.md", HERE.parents[1] / "docs" / "results.md"
MAX_FPR, SITES, SEED = 0.05, 500, 0
OURS = ("| **middle classes", "| middle classes without", "| same heads, ImageNet network, know")
PUBLISHED = 3
"""How the method's rows begin, and how many published methods are on the first page."""
LOCAL = (20, 40, 80)
"""Patients with a normal radiograph each, whose scores set the threshold anew."""


def overview() -> str:
    """The table under the heading AUROC."""
    head, *rows = rows_under((HERE / "RESULTS.md").read_text(encoding="utf-8"), "## AUROC")
    return table(head, rows)


def shortened(whole: str) -> str:
    """Ours, its heads alone, its control, and the best three published methods."""
    head, rule, *rows = whole.splitlines()
    ours = [row for row in rows if row.startswith(OURS)]
    published = [row for row in rows if not row.startswith((*OURS, "| same heads"))]
    return "\n".join([head, rule, *ours, *published[:PUBLISHED]])


def at_sites(scores: ScoreTable, patients: int, rng: np.random.Generator) -> tuple[float, float]:
    """Mean false-alarm rate and sensitivity where so many normal patients set the threshold.

    Their cases are left out of the rate.
    """
    normal = scores.label == 0
    names = np.unique(scores.patient_id[normal])
    rates = []
    for _ in range(SITES):
        drawn = np.isin(scores.patient_id, rng.permutation(names)[:patients])
        threshold = conformal_threshold(scores.score[normal & drawn], MAX_FPR)
        above = scores.score > threshold
        rates.append((above[normal & ~drawn].mean(), above[~normal].mean()))
    false_alarms, found = np.mean(rates, axis=0)
    return float(false_alarms), float(found)


def sites() -> str:
    """Chest X-rays: the threshold of fit, and that of local normals."""
    scores = ScoreTable.read(HERE / "scores" / "chest_xray" / "middle_class" / "0.csv")
    normal, above = scores.label == 0, scores.flagged
    rows = [["normals of `fit`", percent(above[normal].mean()), percent(above[~normal].mean())]]
    rng = np.random.default_rng(SEED)
    for patients in LOCAL:
        rates = at_sites(scores, patients, rng)
        rows.append([f"{patients} local patients", *map(percent, rates)])
    return table(["threshold set with", "false alarms, 5 % asked for", "sensitivity"], rows)


def percent(share: float) -> str:
    """``12.3 %``."""
    return f"{100 * share:.1f} %"


def pages() -> dict[Path, str]:
    """The pages with their tables as the scores on disk have them."""
    whole = overview()
    blocks = {
        README: {"shipped": shortened(whole)},
        RESULTS: {"shipped": whole, "sites": sites()},
    }
    return pages_with(blocks)


def main() -> int:
    """Write the tables, or with ``--check`` compare them."""
    return page_command(__doc__, pages)


if __name__ == "__main__":
    sys.exit(main())
