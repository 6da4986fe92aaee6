"""Saved: the files of a saved detector, read within bounds and with nothing taken on trust.

``detector.json`` and ``weights.safetensors`` may come from a stranger, or from half a copy. Every
number that all detectors have is checked, and nothing that they name is imported. The checksums
of both tell an accident; who means harm can write them anew. Earlier versions wrote none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from midclass.detectors.bounded import bounded_fields
from midclass.detectors.card import CARD, model_card
from midclass.detectors.context import in_json
from midclass.detectors.facts import About
from midclass.detectors.folder import ABOUT, WEIGHTS, refuse_no_detector
from midclass.detectors.provenance import identity, user_code
from midclass.errors import InputError
from midclass.evaluation.conformal import aim
from midclass.recipe.file import without_folders
from midclass.recipe.resolve import reference_to
from midclass.version import __version__

if TYPE_CHECKING:
    from torch import Tensor

    from midclass.detectors.base import Detector

CHECKSUMS = "sha256"
LARGEST = {ABOUT: 2**27, WEIGHTS: 2**30}
"""Bytes."""


def facts_of(detector: Detector) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What is said of a fitted detector in ``detector.json``, and its tensors."""
    tensors, facts = (detector.folds_ or detector).state()
    about = {
        "midclass": __version__,
        "detector": reference_to(type(detector)),
        "recipe": without_folders(detector.recipe.to_dict()),
        "max_fpr": detector.max_fpr_,
        "threshold": detector.threshold_,
        "calibration": detector.calibration_.tolist(),
        "cases": detector.cases_,
        "patients": detector.patients_,
        "not_assessed": detector.not_assessed_,
        "plausible": detector.plausible_.to_json(),
        "threads": detector.threads_,
        "heat": asdict(detector.heat_),
        **detector.patient_calibration_.to_json(),
        **({} if detector.independent_ is None else {"independent": detector.independent_}),
        **({"code": code} if (code := user_code(type(detector), detector.recipe)) else {}),
        **in_json(detector.context_),
        **asdict(detector.origin_),
        **({} if detector.spacing_mm is None else {"spacing_mm": detector.spacing_mm}),
        **({} if detector.parent_ is None else {"parent": detector.parent_}),
        **({} if aim(detector.promise()) == "promised" else {"aimed_at": True}),
        "state" if detector.folds_ is None else "folds": facts,
    }
    return about, tensors


def id_of(detector: Detector) -> str:
    """The id of a fitted detector, see ``identity``."""
    about, tensors = facts_of(detector)
    return identity(json.loads(json.dumps(about)), _bytes_of(tensors))


def known_id(detector: Detector) -> str:
    """The id that a detector was saved with; of one of earlier versions it is made now."""
    return detector.origin_.id or id_of(detector)


def files_of(detector: Detector) -> dict[str, bytes]:
    """The files of a fitted detector by name.

    Raises:
        InputError: what it learned cannot be kept.
    """
    for one in (detector, *(detector.folds_.members if detector.folds_ is not None else ())):
        if one.unkept_:
            raise InputError(one.unkept_)
    about, tensors = facts_of(detector)
    return text_and_weights(about, tensors) | {CARD: model_card(detector, about).encode()}


def text_and_weights(about: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, bytes]:
    """The files of a detector by name, with their checksums.

    Args:
        about: what JSON can hold.
        tensors: by name.
    """
    weights = _bytes_of(tensors)
    plain = json.loads(json.dumps(about))
    sums = {WEIGHTS: sha256(weights).hexdigest(), ABOUT: _checksum(plain)}
    return {WEIGHTS: weights, ABOUT: json.dumps(plain | {CHECKSUMS: sums}, indent=1).encode()}


def _bytes_of(tensors: Mapping[str, Tensor]) -> bytes:
    from safetensors.torch import save

    return bytes(save({name: value.contiguous() for name, value in tensors.items()}))


def check_saved(folder: Path) -> About:
    """What a saved detector's folder says, after a look at all that can be told without torch.

    Raises:
        InputError: there is no detector, or the first thing that is wrong with it.
    """
    return _read(folder)[0]


def read_saved(folder: Path) -> tuple[About, dict[str, Tensor]]:
    """What a saved detector's folder says, and its tensors; raises as ``check_saved`` does."""
    about, weights = _read(folder)
    return about, _tensors(folder, weights)


def _read(folder: Path) -> tuple[About, bytes]:
    raw = {name: _bytes(folder, name) for name in (ABOUT, WEIGHTS)}
    fields = _json(folder, raw[ABOUT])
    sums = fields.pop(CHECKSUMS, None)
    if sums is not None:
        for name, found in (
            (ABOUT, _checksum(fields)),
            (WEIGHTS, sha256(raw[WEIGHTS]).hexdigest()),
        ):
            if not isinstance(sums, dict) or sums.get(name) != found:
                raise damaged(folder, f"{name} was changed after it was saved")
    fields["id"] = fields.get("id") or identity(fields, raw[WEIGHTS])
    try:
        about = About.model_validate(fields)
    except ValidationError as error:
        raise damaged(folder, _first(error), fields) from None
    return about, raw[WEIGHTS]


def damaged(folder: Path, what: str, fields: Mapping[str, Any] | None = None) -> InputError:
    """The one line for all that can be wrong with a saved detector."""
    by = (fields or {}).get("midclass")
    by = f", it was saved by midclass {by[:30]}" if isinstance(by, str) else ""
    said = " ".join(what.split())[:300]
    return InputError(
        f"{folder}: the saved detector is damaged ({said}{by}); copy it anew, or fit it again"
    )


def _bytes(folder: Path, name: str) -> bytes:
    file = folder / name
    try:
        refuse_no_detector(folder, name)
        if file.resolve().parent != folder.resolve():
            raise damaged(folder, f"{name} is a link to a file elsewhere")
        if not file.is_file():
            raise damaged(folder, f"{name} is no file")
        if (size := file.stat().st_size) > LARGEST[name]:
            raise damaged(folder, f"{name} has {size} bytes, {LARGEST[name]} at most are read")
        return file.read_bytes()
    except (OSError, RuntimeError) as error:  # a loop of links, before Python 3.13
        raise damaged(folder, f"{name} cannot be read: {error}") from None


def _json(folder: Path, raw: bytes) -> dict[str, Any]:
    try:
        return bounded_fields(raw)
    except (ValueError, RecursionError) as error:
        raise damaged(folder, f"{ABOUT}: {error}") from None


def _checksum(fields: Mapping[str, Any]) -> str:
    return sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def _first(error: ValidationError) -> str:
    mistake = error.errors()[0]
    where = ".".join(map(str, mistake["loc"]))
    message = mistake["msg"].removeprefix("Value error, ")
    return f"{ABOUT}: {where}: {message}" if where else f"{ABOUT}: {message}"


def _tensors(folder: Path, raw: bytes) -> dict[str, Tensor]:
    import torch
    from safetensors.torch import load

    try:
        # Copies lie where torch wants them, so that sums round as they did when it was fitted.
        tensors = {name: value.clone() for name, value in load(raw).items()}
    except Exception as error:  # safetensors and torch raise many kinds for a broken file
        raise damaged(folder, f"{WEIGHTS}: {error}") from None
    for name, value in tensors.items():
        if value.is_floating_point():
            if not torch.isfinite(value).all():
                raise damaged(folder, f"{WEIGHTS}: {name[:80]} has values that are no numbers")
        elif value.dtype != torch.int64:  # counters of batches
            raise damaged(folder, f"{WEIGHTS}: {name[:80]} has the type {value.dtype}")
    return tensors
