"""What is asked of midclass with an input, and whether the outcome is right or one clear line."""

from __future__ import annotations

import shutil
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import midclass
from midclass import Case, Cohort, InputError, Recipe, ScoreTable
from midclass.detectors.storage import load_detector
from midclass.images.formats.read import Image, decode, read
from midclass.study.file import Study

RECIPE = {
    "name": "small",
    "given_class": "normal",
    "target_class": "disease",
    "geometry": {"size": [32, 32], "spacing_mm": 1.0},
    "anatomy": "anatomy.whole",
    "middle_classes": {"ball": {"operator": "focal.Focal", "diameter_mm": [5, 12]}},
}
LONGEST = 1500  # characters of a clear line


class WrongResultError(Exception):
    """What was given back cannot be right."""


@dataclass(frozen=True)
class Verdict:
    """Attributes:
    outcome: ``right``, ``error``, or what is wrong.
    call: the call that decided.
    text: of the error.
    where: the innermost line of midclass, for an exception.
    """

    outcome: str
    call: str
    text: str = ""
    where: str = ""


def calls(kind: str, path: Path, scratch: Path) -> Iterator[tuple[str, Callable[[], Any]]]:
    """The calls of a kind of input, by name, in the order of a user's work."""
    kind = kind.removeprefix("real ")
    if kind in ("weights", "detector.json"):
        yield "load", lambda: _scored(path)
    elif kind == "recipe":
        yield "load", lambda: Recipe.load(path).check()
    elif kind == "study":
        yield "load", lambda: Study.load(path).cells(path.parent)
    elif kind == "score table":
        yield "read", lambda: len(ScoreTable.read(path))
    elif kind == "manifest":
        yield "read", lambda: _listed(path)
    else:
        named: dict[str, Any] = {"array": "images", "index": 0} if kind == "npz" else {}
        one: dict[str, Any] = {"frame": 0} if kind in ("DICOM", "TIFF") else {}
        if kind == "NIfTI":
            one = {"frame": 0, "index": 0}
        yield "read", lambda: _checked(read(path, **named))
        if one:
            yield "read frame", lambda: _checked(read(path, **one, **named))
        if kind in ("DICOM", "NIfTI"):
            more = {"index": 0} if kind == "NIfTI" else {}
            yield "read volume", lambda: _checked(read(path, volume=True, **more))
        yield "decode", lambda: _numeric(decode(path, **named))
        case = Case(
            "case",
            path,
            None,
            "p",
            frame=one.get("frame"),
            **{**named, **{k: v for k, v in one.items() if k == "index"}},
        )
        yield "prepare", lambda: _prepared(case, scratch)


def _checked(image: Image) -> None:
    pixels = image.pixels
    if pixels.dtype != np.float32 or pixels.ndim < 3 or pixels.shape[0] not in (1, 3):
        raise WrongResultError(f"pixels {pixels.dtype} {pixels.shape}")
    if not pixels.size:
        raise WrongResultError(f"no pixels: {pixels.shape}")
    if not (np.isfinite(pixels).all() and pixels.min() >= 0 and pixels.max() <= 1):
        raise WrongResultError(f"pixels from {pixels.min()} to {pixels.max()}")
    spacing = image.spacing_mm
    if spacing is not None and not (np.isfinite(spacing).all() and min(spacing) > 0):
        raise WrongResultError(f"spacing {spacing}")
    if spacing is not None and len(spacing) != pixels.ndim - 1:
        raise WrongResultError(f"{len(spacing)} spacings of {pixels.ndim - 1} axes")


def _numeric(values: Any) -> None:
    if values.dtype.kind not in "biufcV":
        raise WrongResultError(f"values of {values.dtype}")


def _prepared(case: Case, scratch: Path) -> None:
    prepared = midclass.prepare(Cohort((case,)), Recipe.from_dict(RECIPE), cache=scratch)
    pixels = prepared.batch(np.array([0])).pixels.numpy()
    if not np.isfinite(pixels).all():
        raise WrongResultError("prepared pixels are not finite")


def _listed(path: Path) -> None:
    cohort = Cohort.from_manifest(path)
    if not len(cohort) or not all(case.path.is_file() for case in cohort):
        raise WrongResultError(f"{len(cohort)} cases, some of them no files")


def _scored(folder: Path) -> None:
    from fuzz.right import discs

    detector = load_detector(folder)
    try:
        given = midclass.prepare_array(discs(4)[:4], detector.recipe)
        scores = detector.score_samples(given)
        decision = detector.decision_function(given)
        p_values, promise = detector.p_values(scores), detector.promise()
        unseen = detector.reasons(given)
    except InputError as error:
        if "\n" in str(error):
            raise
        return  # it speaks of the images; the folder is not known there
    if np.isinf(decision).any() or np.isnan(scores).sum() != len(unseen):
        raise WrongResultError(f"scores {scores}, threshold {detector.threshold_}")
    good = p_values[~np.isnan(p_values)]
    if ((good <= 0) | (good > 1)).any() or not 0 < promise["max_fpr"] < 1:
        raise WrongResultError(f"p {p_values}, promise {promise}")


def judge(kind: str, path: Path, identity: tuple[str, ...], scratch: Path) -> Verdict:
    """Make all calls; the first that goes wrong decides, else whether one gave a result."""
    verdict = Verdict("error", "")
    for name, call in calls(kind, path, scratch):
        try:
            call()
            found = Verdict("right", name)
        except InputError as error:
            found = _clear(error, name, path, identity)
        except WrongResultError as error:
            found = Verdict("wrong", name, str(error))
        except MemoryError as error:
            found = Verdict("memory", name, repr(error), _where(error))
        except BaseException as error:  # a panic of a decoder is no Exception
            text = f"{type(error).__name__}: {error}"
            found = Verdict("exception", name, text, _where(error))
        if sys.modules.pop("fuzz.trap", None) and kind in ("weights", "detector.json"):
            found = Verdict("code ran", name, "a module outside midclass was imported")
        if found.outcome not in ("right", "error"):
            shutil.rmtree(scratch, ignore_errors=True)
            return found
        if found.outcome == "right" or not verdict.call:
            verdict = found
    shutil.rmtree(scratch, ignore_errors=True)
    return verdict


def _clear(error: InputError, call: str, path: Path, identity: tuple[str, ...]) -> Verdict:
    text, where = str(error), _where(error)
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError):
            return Verdict("memory", call, text, where)
        cause = cause.__cause__ or cause.__context__
    outcome = "error"
    if any(ord(c) < 32 or 127 <= ord(c) < 160 or c in "\u2028\u2029" for c in text):
        outcome = "not one line"
    elif len(text) > LONGEST:
        outcome = "too long"
    elif str(path) not in text:
        outcome = "nameless"
    elif any(token.casefold() in text.casefold() for token in identity):
        outcome = "identity"
    return Verdict(outcome, call, text, where)


def _where(error: BaseException) -> str:
    """File and line of midclass that come last before the error."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "midclass" in Path(f.filename).parts]
    last = own[-1] if own else frames[-1]
    return f"{Path(last.filename).name}:{last.lineno} {last.name}"
