"""The strip at the top of the README: normal, middle classes, disease and where it was seen.

    make demo && .venv/bin/python docs/make_strip.py demo

Of the demo's phantoms alone; the disease is that of test cases, which nobody learned from.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from midclass import Cohort, Detector, Recipe, ScoreTable, load_detector, prepare
from midclass.evaluation.panel import Panel, coloured
from midclass.evaluation.plots import save, show_panel

OUT = Path(__file__).parent / "strip.png"
SEED = 2


def made(demo: Path, recipe: Recipe, cases: int = 24) -> list[Panel]:
    """A normal image, and the clearest middle class that each operator makes of a few."""
    cohort = Cohort.from_manifest(demo / "phantoms" / "manifest.csv", split="split").part("train")
    batch = prepare(cohort[:cases], recipe).batch(np.arange(cases))
    panels = [Panel(batch.pixels[0].numpy(), text="normal")]
    for name, operator in recipe.operators().items():
        middle = operator(batch, torch.Generator().manual_seed(SEED))
        clear = int(middle.severity.argsort()[-3])
        panels.append(Panel(middle.pixels[clear].numpy(), text=f"middle class: {name}"))
    return panels


def found(demo: Path, detector: Detector, subtypes: tuple[str, ...]) -> list[Panel]:
    """The test case of each subtype whose score is in the middle of those flagged, and its heat."""
    table = ScoreTable.read(demo / "evaluation" / "scores.csv")
    cohort = Cohort.from_manifest(demo / "phantoms" / "manifest.csv", split="split").part("test")
    place = {case.case_id: row for row, case in enumerate(cohort)}
    panels = []
    for subtype in subtypes:
        rows = np.flatnonzero((table.class_name == subtype) & table.flagged)
        row = rows[np.argsort(table.score[rows])[len(rows) // 2]]
        prepared = prepare(cohort[[place[table.case_id[row]]]], detector.recipe)
        pixels = prepared.images([0])[0] / 65535
        text = f"unseen: {subtype}, p = {table.extra['p_value'][row]:.3f}"
        heat = detector.heat_maps(prepared)[0]
        panels.append(Panel(pixels, text=text))
        panels.append(coloured(Panel(pixels, heat=heat), detector.heat_))
    return panels


def main() -> None:
    """Draw it."""
    demo = Path(sys.argv[1])
    detector = load_detector(demo / "detector")
    learned = made(demo, detector.recipe)
    panels = [*learned, *found(demo, detector, ("intraparenchymal", "subdural"))]
    figure = Figure((1.6 * len(panels), 1.9), dpi=110)
    for place, panel in zip(figure.subplots(1, len(panels)), panels, strict=True):
        show_panel(place, Panel(panel.pixels, heat=panel.heat))
        place.set_title(panel.text, fontsize=7.5, loc="left", pad=3)
    figure.subplots_adjust(0.005, 0.01, 0.995, 0.88, 0.03)
    save(figure, OUT)


if __name__ == "__main__":
    main()
