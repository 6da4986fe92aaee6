"""Plausibility: in how many images the anatomy is found, and where it is unlike that of the others.

Asked of given-class images before any training, without knowing where the anatomy really is: a
mask whose size, place or form lies far from the cohort's own median is a mask to look at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from midclass.evaluation.metrics import share_interval
from midclass.evaluation.panel import Panel
from midclass.images.anatomy.shape import Features, deviations, feature_names, mask_features
from midclass.images.prepare import Prepared, prepare
from midclass.images.store import LARGEST

if TYPE_CHECKING:
    from midclass.recipe.recipe import Recipe

FAR = 6.0
"""Robust standard deviations from the median beyond which an anatomy is strange."""
BOX = 0.98
"""Share of its bounding box from which on a mask is a box."""
WORST = 12
"""How many of the worst are listed and drawn; at most half of them without anatomy."""
LEAST_SPREAD = 0.02
"""Of the logarithm of the size: 2 %."""
_SIMPLE = ("anatomy.foreground", "anatomy.whole")  # nothing to recognise
_AT_ONCE = 64
_MORE_LESS = {
    "area": ("is larger", "is smaller"),
    "centre_z": ("lies further on", "lies further back"),
    "centre_y": ("lies lower", "lies higher"),
    "centre_x": ("lies further right", "lies further left"),
    "depth": ("is deeper", "is less deep"),
    "height": ("is taller", "is less tall"),
    "width": ("is wider", "is narrower"),
    "solidity": ("has a smoother outline", "has a more ragged outline or holes"),
    "parts": ("is in more parts", "is in fewer parts"),
    "largest_part": ("is more in one part", "is more broken up"),
    "size": ("covers more in mm", "covers less in mm"),
}


def plausibility(prepared: Prepared, n: int = WORST) -> dict[str, Any]:
    """Where the anatomy is found, and how far from the cohort's median that of each image lies.

    Features are those of ``images.anatomy.shape``, of the samples as training sees them, and
    ``size``: the logarithm of the area in mm^2 (mm^3), where images differ in spacing.

    Args:
        prepared: samples of given-class cases.
        n: how many of the worst to list.

    Returns:
        Ready for JSON: ``images``, ``missing`` (images without anatomy), ``found`` (the share of
        the others, 95 % interval over patients), ``strange`` (those with a feature beyond ``FAR``),
        ``boxes`` (those that fill their bounding box), ``medians`` (by feature) and ``worst``:
        dicts of ``row`` of the sample, ``case_id``, ``far`` (of the feature that deviates most,
        None without anatomy), ``feature``, ``value``, ``median`` and ``reason``, the worst first,
        those without anatomy before all others.
    """
    features, names = _features(prepared)
    missing = np.isnan(features[:, 0])
    far, middle = np.full(features.shape, np.inf), np.full(len(names), np.nan)
    if not missing.all():
        middle = np.median(features[~missing], axis=0)
        far = np.nan_to_num(_far(features, middle, with_size=names[-1] == "size"), nan=np.inf)
    most = np.abs(far).max(1)
    cases = [prepared.cases.cases[k] for k in prepared.case_index]
    patients = np.array([case.patient_id for case in cases])

    def said(row: int) -> dict[str, Any]:
        if missing[row]:
            nothing = dict.fromkeys(("far", "feature", "value", "median"))
            return {**nothing, "reason": "no anatomy"}
        k = int(np.abs(far[row]).argmax())
        value, usual = float(features[row, k]), float(middle[k])
        reason = _reason(names[k], value, usual, float(far[row, k]))
        figures = {"far": float(most[row]), "feature": names[k], "value": value, "median": usual}
        return {**figures, "reason": reason}

    worst = [
        {"row": int(row), "case_id": cases[row].case_id, **said(int(row))}
        for row in _worst(most, missing, n)
    ]
    medians = {} if missing.all() else dict(zip(names, middle.tolist(), strict=True))
    return {
        "images": len(features),
        "missing": int(missing.sum()),
        "found": _share(~missing, patients),
        "strange": int((~missing & (most > FAR)).sum()),
        "boxes": int((_share_of_box(features, names) >= BOX).sum()),
        "medians": medians,
        "worst": worst,
    }


def panels(
    prepared: Prepared, worst: Sequence[Mapping[str, Any]], recipe: Recipe, cache: Path | None
) -> list[Panel]:
    """The images of ``worst`` with their outlines, and what is said of each as text.

    Where the recipe blanks what is outside the anatomy, they are prepared again without that: what
    was left out by mistake must be seen.
    """
    rows = np.array([one["row"] for one in worst], np.intp)
    if recipe.geometry.outside == "blank":
        shown = recipe.geometry.model_copy(update={"outside": "keep"})
        of_case = prepared.case_index[rows]
        chosen = np.unique(of_case)
        within = rows - np.searchsorted(prepared.case_index, of_case)  # samples of a case in a row
        recipe = recipe.model_copy(update={"geometry": shown})
        prepared = prepare(prepared.cases[chosen], recipe, cache=cache)
        rows = within + np.searchsorted(prepared.case_index, np.searchsorted(chosen, of_case))
    found = []
    for row, one in zip(rows, worst, strict=True):
        pixels = prepared.images([row])[0].astype(np.float32) / LARGEST
        mask = prepared.masks([row])[0, 0]
        if pixels.ndim == 4:  # the slice of a volume with most of it
            k = int(mask.sum((1, 2)).argmax())
            pixels, mask = pixels[:, k], mask[k]
        found.append(Panel(pixels, mask, text=f"{one['case_id']}\n{one['reason']}"))
    return found


def boxed(found: Mapping[str, Any]) -> bool:
    """Whether ``anatomy.foreground`` is a plain box in most images."""
    return found.get("function") == _SIMPLE[0] and 2 * found.get("boxes", 0) > found["images"]


def in_words(found: Mapping[str, Any], picture: str) -> str:
    """One sentence on what to change; "" where every image shows a usual anatomy.

    Args:
        found: of ``plausibility``, with the name of the anatomy as ``function`` where known.
        picture: name of the file with the outlines.
    """
    total, missing, strange = found["images"], found["missing"], found["strange"]
    said = []
    if missing:
        said.append(f"in {missing} of {total} images no anatomy was found")
    if strange:
        kinds = {one["feature"] for one in found["worst"] if one["far"] and one["far"] > FAR}
        said.append(f"in {strange} of {total} it is unlike the others ({', '.join(sorted(kinds))})")
    if boxed(found):
        said.append(
            f"in {found['boxes']} of {total} it is a plain box, as on a white background (there "
            "use anatomy.on_white) and where the body fills the image"
        )
    if not said:
        return ""
    others = [name for name in _SIMPLE if name != found.get("function")]
    return (
        f"{' and '.join(said)}: look at {picture}; where the outline is wrong, give masks of your "
        f"own in a column `mask` of the manifest, or use {' or '.join(others)}; where the image is "
        "(another view, another body part), remove it"
    )


def _features(prepared: Prepared) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    rows = np.arange(len(prepared))
    blocks = [rows[k : k + _AT_ONCE] for k in range(0, len(rows), _AT_ONCE)]
    features = np.concatenate([mask_features(prepared.masks(block)) for block in blocks])
    names = feature_names(len(prepared.shape) - 2)
    if np.ptp(prepared.spacing_mm, axis=0).max() > 1e-6:
        size = np.log(np.maximum(prepared.anatomy_mm2, 1e-9))
        size[np.isnan(features[:, 0])] = np.nan
        features, names = np.c_[features, size], (*names, "size")
    return features, names


def _share_of_box(features: Features, names: tuple[str, ...]) -> NDArray[np.float64]:
    """How much of its bounding box each mask covers; NaN where it is empty."""
    sides = [name for name in ("depth", "height", "width") if name in names]
    box = np.prod([features[:, names.index(side)] for side in sides], axis=0)
    return np.asarray(features[:, names.index("area")] / box)


def _far(
    features: Features, middle: NDArray[np.float64], *, with_size: bool
) -> NDArray[np.float64]:
    """Robust standard deviations from the medians, of the size too."""
    shapes = features.shape[1] - with_size
    far = deviations(features[:, :shapes])
    if not with_size:
        return far
    size = features[:, -1] - middle[-1]
    unit = max(1.4826 * float(np.nanmedian(np.abs(size))), LEAST_SPREAD)
    return np.concatenate([far, size[:, None] / unit], axis=1)


def _worst(most: NDArray[np.float64], missing: NDArray[np.bool_], n: int) -> NDArray[np.intp]:
    """Rows by how far they are, of those without anatomy no more than half if there are others."""
    empty, others = np.flatnonzero(missing), np.flatnonzero(~missing)
    others = others[np.argsort(-most[others], kind="stable")]
    few = max(n - len(others), (n + 1) // 2)
    empty = empty[:few]
    return np.concatenate([empty, others[: n - len(empty)]])


def _reason(name: str, value: float, median: float, far: float) -> str:
    if abs(far) < 1:
        return "as usual"
    what = _MORE_LESS[name][far < 0]
    if name == "size":
        return f"{what}: {np.exp(value):.0f}, usually {np.exp(median):.0f}"
    form = ".0f" if name == "parts" else ".2f"
    return f"{what}: {name} {value:{form}}, usually {median:{form}}"


def _share(found: NDArray[np.bool_], patients: NDArray[Any]) -> dict[str, float]:
    """A share with its interval over patients; where all are alike, the exact one of a share."""
    number = len(set(patients.tolist()))
    low, high = (float(found.mean()),) * 2
    if number > 1 and 0 < low < 1:
        low, high = share_interval(found, patients)
    elif low == 1:
        low = 0.025 ** (1 / number)
    elif high == 0:
        high = 1 - 0.025 ** (1 / number)
    return {"value": float(found.mean()), "low": low, "high": high}
