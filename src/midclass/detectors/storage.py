"""Storage: a saved detector is read back, without running code that nobody trusts."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from midclass.detectors.base import Detector
from midclass.detectors.context import Context
from midclass.detectors.facts import About
from midclass.detectors.folder import ABOUT
from midclass.detectors.folds import Folds
from midclass.detectors.plausible import Plausible
from midclass.detectors.provenance import Origin, user_code
from midclass.detectors.saved import damaged, read_saved
from midclass.errors import InputError
from midclass.evaluation.calibrated import CalibratedPatients
from midclass.evaluation.heat import HeatScale
from midclass.recipe.file import with_files
from midclass.recipe.recipe import Recipe
from midclass.recipe.resolve import moved_file, saved_class
from midclass.types import ImageBatch


def load_detector(folder: Path | str, trust: Collection[Path] = ()) -> Detector:
    """Read a saved detector; of the user's files those in ``trust`` may run, found by their names.

    What it names is of midclass, and of the kind that belongs there, or is trusted; nothing else is
    imported or called. It has then looked at one image of noise, so that what does not fit together
    is told here and not while cases are scored.

    Args:
        folder: written by ``Detector.save``.
        trust: files of the user's, and names of packages, that may run.

    Raises:
        InputError: the folder holds no detector, one that is damaged, one of an unknown kind, or
            one of a file or package that is not trusted, or of a file that has changed since.
    """
    folder = Path(folder)
    about, tensors = read_saved(folder)
    kind = saved_class(about.detector, f"{folder}: detector", trust)
    if not (isinstance(kind, type) and issubclass(kind, Detector)):
        raise InputError(f"{folder}: unknown kind of detector {about.detector!r}")
    try:
        fields = with_files(about.recipe, lambda file: moved_file(file, trust))
        recipe = Recipe.from_dict(fields, trust, folder / ABOUT)
    except InputError as error:
        what = str(error).removeprefix(f"{folder}/")
        raise damaged(folder, what, {"midclass": about.midclass}) from None
    _refuse_other_code(folder, about, user_code(kind, recipe))
    try:
        detector = kind(recipe)
        detector.max_fpr_, detector.threshold_ = about.max_fpr, about.threshold
        detector.calibration_ = np.array(about.calibration, dtype=float)
        detector.patient_calibration_ = CalibratedPatients(
            np.array(about.patient_calibration, dtype=float),
            tuple(np.array(scores, dtype=float) for scores in about.patient_fewer),
            about.patient_cases,
        )
        detector.independent_ = about.independent
        detector.cases_, detector.patients_ = about.cases, about.patients
        detector.not_assessed_ = about.not_assessed
        detector.threads_ = about.threads
        detector.origin_ = Origin(about.id, about.seed, about.fitted, about.versions)
        detector.max_fpr = about.max_fpr
        detector.seed = 0 if about.seed is None else about.seed
        spacing = about.spacing_mm
        detector.spacing_mm = (spacing[0], spacing[1]) if isinstance(spacing, list) else spacing
        detector.context_ = Context.from_json(
            None if about.context is None else about.context.model_dump()
        )
        detector.heat_ = HeatScale(about.heat.begins, about.heat.rate)
        if about.parent is not None:
            detector.parent_ = about.parent.model_dump(exclude_none=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of shapes that do not fit; the error says it
            _restore(detector, about, tensors)
    except Exception as error:  # damage can show anywhere in what a detector makes of its state
        what = f"{type(error).__name__}: {error}"
        raise damaged(folder, what, {"midclass": about.midclass}) from error
    return detector


def _refuse_other_code(folder: Path, about: About, found: Mapping[str, str]) -> None:
    """Refuse a user's file that is not what was fitted with: scores would be others."""
    for name, fitted in about.code.items():  # earlier versions noted none
        if found.get(name, fitted) != fitted:
            raise InputError(
                f"{folder}: {name} has changed since the fit, and scores would be others than its "
                "threshold is for; give the file of then (--trust), or fit anew"
            )


def _restore(detector: Detector, about: About, tensors: dict[str, Tensor]) -> None:
    """What it has learned, and a first look."""
    detector.plausible_ = Plausible.from_json(about.plausible)
    if about.folds is not None:
        folds = [fold.model_dump() for fold in about.folds]
        detector.folds_ = Folds.restored(detector, tensors, folds)
    else:
        detector.restore(tensors, about.state or {})
    _try(detector)


def _try(detector: Detector) -> None:
    """Look at an image of noise.

    Raises:
        ValueError: what comes of it is no score, or no heat map, of one image.
    """
    geometry = detector.recipe.geometry
    shape = (1, geometry.channels, *geometry.size)
    noise = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    images = ImageBatch.of(noise).to(detector.device)
    with torch.inference_mode():
        if detector.folds_ is None:
            scores, heat = detector.score(images)
            expected: tuple[int, ...] = (1,)
        else:
            scores, heat = detector.folds_.look(images)
            expected = (1, len(detector.folds_))
    if tuple(scores.shape) != expected or not torch.isfinite(scores).all():
        raise ValueError(f"the score of an image of noise is {scores.tolist()}")
    if heat is not None:
        inside = torch.isfinite(heat).all() and heat.min() >= 0 and heat.max() <= 1
        if tuple(heat.shape) != (1, 1, *geometry.size) or not inside:
            raise ValueError("the heat map of an image of noise is none")
