"""Storage: a saved detector is read back, without running code that nobody trusts."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

import numpy as np

from midclass.detectors.base import Detector
from midclass.detectors.folds import Folds
from midclass.detectors.plausible import Plausible
from midclass.errors import InputError
from midclass.recipe.file import with_files
from midclass.recipe.recipe import Recipe
from midclass.recipe.resolve import moved_file, saved_class


def load_detector(folder: Path | str, trust: Collection[Path] = ()) -> Detector:
    """Read a saved detector; of the user's files those in ``trust`` may run, found by their names.

    Raises:
        InputError: when the folder holds no detector, one of an unknown kind, or one of a file that
            is not trusted.
    """
    from safetensors.torch import load_file

    folder = Path(folder)
    try:
        about = json.loads((folder / "detector.json").read_text(encoding="utf-8"))
        tensors = load_file(folder / "weights.safetensors")
        reference = about["detector"]
    except FileNotFoundError as error:
        raise InputError(
            f"{folder}: no saved detector here ({Path(error.filename).name} is missing); "
            "make one with `midclass fit`"
        ) from None
    except (json.JSONDecodeError, KeyError, OSError, ValueError) as error:
        raise InputError(f"{folder}: the saved detector is damaged ({error})") from None
    kind = saved_class(reference, f"{folder}: detector", trust)
    if not (isinstance(kind, type) and issubclass(kind, Detector)):
        raise InputError(f"{folder}: unknown kind of detector {reference!r}")
    fields = with_files(about["recipe"], lambda file: moved_file(file, trust))
    detector = kind(Recipe.from_dict(fields, trust))
    detector.max_fpr_, detector.threshold_ = about["max_fpr"], about["threshold"]
    detector.calibration_ = np.array(about["calibration"], dtype=float)
    detector.cases_, detector.patients_ = about["cases"], about["patients"]
    detector.not_assessed_ = about.get("not_assessed", {})  # earlier versions did not count
    detector.threads_ = about.get("threads")
    detector.plausible_ = Plausible.from_json(about.get("plausible"))
    if "folds" in about:
        detector.folds_ = Folds.restored(detector, tensors, about["folds"])
    else:
        detector.restore(tensors, about["state"])
    return detector
