"""Export: a fitted detector as an ONNX file that says the same of the same images, or as none.

This is the only file that imports onnxruntime and torch.onnx, which come with ``midclass[onnx]``.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from midclass.detectors.graph import NAMES, NOT_ASSESSED, graph_of, tie_of
from midclass.detectors.saved import known_id
from midclass.errors import InputError, in_one_line
from midclass.images.tiles import in_groups
from midclass.recipe.file import without_folders
from midclass.recipe.resolve import reference_to
from midclass.version import __version__

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

    from midclass.detectors.base import Detector
    from midclass.detectors.folds import Folds
    from midclass.evaluation.ranking import FloatArray
    from midclass.images.prepared import Prepared
    from midclass.types import Progress

Said: TypeAlias = dict[str, NDArray[Any]]
"""What a file says of some images, by ``graph.NAMES``."""

HEAT = 0.01
"""Of heat in [0, 1]: by as much it may differ."""
TOGETHER = 16
"""Images that the file is tried with at once, and then alone; detectors look at another number."""
INPUTS = (
    "pixels and anatomy as midclass prepares them by this recipe; the file does not know whether "
    "an image is plausible, and gives a score to every image with any anatomy"
)
OF_TILES = (
    "; one image at a time, and corners, int64 (t, 2): the first row and column of squares as wide "
    "as geometry.size that lie over the anatomy, as midclass.images.tiles.planned says"
)
OF_SLICES = "; each image alone: neighbours in its series do not count"
USE = "Research only. This is no medical device; no clinical decision may rest on it."


@dataclass(frozen=True)
class Equality:
    """How far the file and the detector agree.

    Attributes:
        images: that both looked at.
        of: what they are.
        score: largest difference of scores; of folds beyond what a tie makes.
        tolerance: of it, see ``graph.TIE``.
        heat_map: largest difference of heat; None where there are no maps.
        flags: cases that are flagged by one of them alone, but where a tie of folds decides.
        p_values: how many p-values differ; a tie with a calibration score makes one larger.
    """

    images: int
    of: str
    score: float
    tolerance: float
    heat_map: float | None
    flags: tuple[str, ...] = ()
    p_values: int = 0

    def refuse(self) -> None:
        """Raise InputError where the file must not be used in the detector's place."""
        if self.flags:
            raise InputError(
                f"{self.flags[0]} and {len(self.flags) - 1} more of {self.images} images are "
                "flagged by the detector or by its export alone; nothing was written; verify with "
                "other cases (--cohort), and report it if it stays so"
            )
        if not self.score <= self.tolerance:
            raise InputError(
                f"scores of the detector and of its export differ by {self.score:.2g}, where "
                f"{self.tolerance:.2g} is allowed; nothing was written"
            )
        if self.heat_map is not None and not self.heat_map <= HEAT:
            raise InputError(
                f"heat maps of the detector and of its export differ by {self.heat_map:.2g}, where "
                f"{HEAT:g} is allowed; nothing was written"
            )


def refuse_unable(detector: Detector) -> None:
    """Raise InputError, before any work, where a detector cannot be exported here."""
    try:
        graph_of(detector)
    except TypeError as error:
        raise InputError(
            f"{error} cannot be exported: its score is no graph of torch; middle_class, patchcore, "
            "mahalanobis, nearest_neighbour, pca, one_class_svm, intensity and the autoencoders can"
        ) from None
    try:
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError:
        raise InputError("the export needs onnxruntime: pip install 'midclass[onnx]'") from None
    if not hasattr(torch.compiler, "is_exporting"):
        raise InputError(f"the export needs torch 2.7 or newer, there is {torch.__version__}")
    if detector.device.type != "cpu":
        raise InputError(
            f"the export is made on the processor, the detector is on {detector.device}; set "
            "CUDA_VISIBLE_DEVICES= (empty) and type the same again"
        )


def exported(
    detector: Detector, folder: Path, known: Prepared, of: str, progress: Progress | None = None
) -> tuple[bytes, Equality]:
    """The bytes of an ONNX file, after both have looked at the same images.

    Its inputs are ``pixels``, float32 ``(batch, c, *spatial)`` in [0, 1], and ``anatomy``, bool
    ``(batch, 1, *spatial)``, as ``prepare`` makes them; its outputs ``graph.NAMES``. Of view tiles
    the batch is one image, and a third input, ``corners``, says where its tiles lie.

    Args:
        detector: fitted.
        folder: where it is saved.
        known: images to compare on.
        of: what they are, for the file and for messages.
        progress: called with (images, of all, "").

    Raises:
        InputError: it cannot be exported, no image can be assessed, or they do not agree.
    """
    refuse_unable(detector)
    model = _model(detector, known.shape)
    try:
        session = _session(model.SerializeToString())
    except Exception as error:  # of the runtime's own kind: an operator that it lacks
        raise InputError(
            f"{type(detector).__name__} cannot be exported: {in_one_line(error)}"
        ) from error
    found = compared(detector, session, known, of, progress)
    found.refuse()
    for key, value in about(detector, folder, found).items():
        text = value if isinstance(value, str) else json.dumps(value)
        model.metadata_props.add(key=f"midclass.{key}", value=text)
    return model.SerializeToString(), found


def about(detector: Detector, folder: Path, found: Equality) -> dict[str, Any]:
    """What the file says of itself: text, and what JSON can hold."""
    recipe = detector.recipe
    return {
        "version": __version__,
        "use": USE,
        "detector": reference_to(type(detector)),
        "detector_id": known_id(detector),
        "recipe_name": recipe.name,
        "recipe": without_folders(recipe.to_dict()),
        "geometry": recipe.geometry.model_dump(mode="json"),
        "given_class": recipe.given_class,
        "target_class": recipe.target_class,
        "threshold": detector.threshold_,
        "promise": detector.promise(),
        "heat_begins": detector.heat_.begins,
        "inputs": INPUTS + {"tiles": OF_TILES, "slices": OF_SLICES}.get(recipe.geometry.view, ""),
        "flag": f"1 above the threshold, 0 not, {NOT_ASSESSED} without any anatomy",
        "verified": asdict(found),
    }


def compared(
    detector: Detector,
    session: InferenceSession,
    known: Prepared,
    of: str,
    progress: Progress | None = None,
) -> Equality:
    """Look at the same images with both; the first batch also image by image."""
    known = detector.by_plausible_anatomy(known)
    tolerance = tie_of(detector.calibration_)
    names, score, heat, p_values = list[str](), 0.0, list[float](), 0
    flags, images = list[str](), 0
    total, graph = len(detector.assessable(known)), graph_of(detector)
    for look in detector.looks(known, heat_maps=True):
        scores = look.scores if detector.folds_ is None else detector.folds_.scores(look.scores)
        parts = _parts(look.rows, alone=not images)
        said = _joined([_said(session, one) for p in parts for one in graph.inputs(known, p)])
        names = [known.cases[int(known.case_index[row])].case_id for row in look.rows]
        low, high = scores, scores
        if detector.folds_ is not None:
            low, high = tied(detector.folds_, look.scores)
        apart = np.maximum(low - said["score"], said["score"] - high)
        score = float(np.max([score, *apart]))  # the maximum of Python passes over NaN
        either = (low > detector.threshold_) != (high > detector.threshold_)
        flagged = scores > detector.threshold_
        unlike = (flagged != said["flag"]) & ~either
        flags += [name for name, one in zip(names, unlike, strict=True) if one]
        p_values += int((said["p_value"] != detector.p_values(scores)).sum())
        if look.maps is not None:
            heat.append(float(np.abs(said["heat_map"] - look.maps).max()))
        images += len(look.rows)
        if progress is not None:
            progress(images, total, "")
    if not images:
        raise InputError(
            f"none of {len(known)} {of} can be assessed by the detector, so that nothing can be "
            "compared; give cases of its kind with --cohort"
        )
    most = float(np.max(heat)) if heat else None
    return Equality(images, of, score, tolerance, most, tuple(flags), p_values)


def tied(folds: Folds, by_member: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The least and the most that scores ``(n,)`` of folds can be, as ties are counted or not.

    A score of folds is made of counts: one tie with a calibration case moves it by a step.
    """
    ties = np.array([tie_of(values) for values in folds.calibrations])
    return folds.scores(by_member - ties), folds.scores(by_member + ties)


def _model(detector: Detector, shape: Sequence[int]) -> Any:
    """The ONNX model, with a batch of any size, or any number of tiles."""
    graph = graph_of(detector).eval()
    inputs = graph.example(shape)
    lengths = {
        name: {0: torch.export.Dim(name if name == "corners" else "batch", min=1)}
        for name, value in inputs.items()
        if len(value) > 1
    }
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            graph,
            tuple(inputs.values()),
            dynamo=True,
            input_names=list(inputs),
            output_names=graph.names,
            dynamic_shapes={name: lengths.get(name, {}) for name in inputs},
            verbose=False,
        )
    assert program is not None
    return program.model_proto


@contextmanager
def _quiet() -> Iterator[None]:
    """Remarks of the exporter on itself are nothing that a user can act on."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _session(raw: bytes) -> InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    options.intra_op_num_threads = torch.get_num_threads()
    return onnxruntime.InferenceSession(raw, options, providers=["CPUExecutionProvider"])


def _said(session: InferenceSession, inputs: Mapping[str, Tensor]) -> Said:
    arrays = {name: value.numpy() for name, value in inputs.items()}
    return dict(zip(NAMES, session.run(None, arrays), strict=False))  # perhaps without heat


def _parts(rows: NDArray[np.int64], *, alone: bool) -> list[NDArray[np.int64]]:
    """A few single images first, so that a batch of one is tried too; the others together."""
    single = 2 if alone else 0
    return [*in_groups(rows[:single], 1), *in_groups(rows[single:], TOGETHER)]


def _joined(parts: Sequence[Said]) -> Said:
    return {name: np.concatenate([one[name] for one in parts]) for name in parts[0]}
