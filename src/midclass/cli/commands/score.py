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
from midclass.detectors.storage import load_detector
from midclass.errors import InputError
from midclass.evaluation import plots
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
    table = score_table(detector, prepared)
    table.write(out)
    say(f"{len(table)} cases scored, {int(table.flagged.sum())} flagged: {out}")
    if heat_maps is not None:
        with new_folder(heat_maps, overwrite=options.overwrite) as temporary:
            _write_overlays(detector, prepared, temporary)
        say(f"heat maps: {heat_maps}")
    for case, reason in prepared.failed:
        note(f"failed: {case.case_id}: {reason}")
    return not prepared.failed


def _write_overlays(detector: Detector, prepared: Prepared, folder: Path) -> None:
    """One picture a sample; all heat maps on one scale, so that pictures can be compared."""
    panels = []
    for start in range(0, len(prepared.cases), 64):
        some = prepared.subset(prepared.cases[start : start + 64])
        maps = detector.heat_maps(some).astype(np.float16)  # there may be many
        panels += [
            plots.Panel(some.pixels[i] / np.float32(65535), some.anatomy[i, 0], maps[i])
            for i in range(len(some))
        ]
    scale = plots.heat_scale(panels)
    for number, (case, panel) in enumerate(zip(prepared.case_index, panels, strict=True)):
        name = re.sub(r"[^\w.-]+", "_", prepared.cases.cases[case].case_id).removesuffix(".png")
        plots.overlay(folder / f"{number:05d}_{name[-80:]}.png", panel, scale)
