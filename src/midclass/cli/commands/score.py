"""The command ``score``: scores of images of unknown class, and pictures of their heat maps."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from midclass.cli.commands.source import prepared_with_bar
from midclass.cli.console import note, say
from midclass.cli.options import DEFAULTS, Options
from midclass.detectors.base import Detector
from midclass.detectors.cohort_scores import score_table
from midclass.detectors.heat_maps import kept_heat_maps
from midclass.detectors.storage import load_detector
from midclass.errors import InputError
from midclass.evaluation import plots
from midclass.evaluation.plots import Panel
from midclass.evaluation.table import ScoreTable
from midclass.files import new_folder, refuse_existing, refuse_existing_file
from midclass.images.cohort import Cohort
from midclass.images.prepare import Prepared


def run(
    folder: Path,
    cohort: Cohort,
    options: Options = DEFAULTS,
    *,
    out: Path = Path("scores.csv"),
    heat_maps: Path | None = None,
) -> bool:
    """Score cases of known or unknown class; True where all of them could be read."""
    refuse_existing_file(out, options.overwrite)
    if heat_maps is not None:
        refuse_existing(heat_maps, options.overwrite)
    detector = load_detector(folder, options.trust)
    if heat_maps is not None and not detector.makes_heat_maps:
        raise InputError(f"{type(detector).__name__} makes no heat maps; leave out --heat-maps")
    prepared = prepared_with_bar(cohort, detector.recipe, options.cache, keep_going=True)
    if heat_maps is None:
        table = score_table(detector, prepared)
    else:
        with new_folder(heat_maps, overwrite=options.overwrite) as folder:
            table = _with_overlays(detector, prepared, folder)
    table.write(out)
    say(f"{len(table)} cases scored, {int(table.flagged.sum())} flagged: {out}")
    if heat_maps is not None:
        say(f"heat maps: {heat_maps}")
    for case, reason in prepared.failed:
        note(f"failed: {case.case_id}: {reason}")
    return not prepared.failed


def _with_overlays(detector: Detector, prepared: Prepared, folder: Path) -> ScoreTable:
    """The scores; and one picture a sample, all on one scale, so that they can be compared."""
    with kept_heat_maps((len(prepared), *prepared.shape[2:]), folder) as maps:
        looks = maps.keeping(detector.looks(prepared, heat_maps=True))
        table = score_table(detector, prepared, looks=looks)
        for row, case in enumerate(prepared.case_index):
            name = re.sub(r"[^\w.-]+", "_", prepared.cases.cases[case].case_id)
            name = name.removesuffix(".png")[-80:]
            panel = Panel(prepared.pixels[row] / np.float32(65535), heat=maps[row])
            plots.overlay(folder / f"{row:05d}_{name}.png", panel, maps.scale)
    return table
