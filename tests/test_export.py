"""A detector that leaves midclass says the same there, or does not leave."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

import makers
from midclass import Cohort, Detector, ImageBatch, InputError, Prepared, prepare, prepare_array
from midclass.cli.commands import export
from midclass.cli.options import Options
from midclass.detectors.base import conformal
from midclass.detectors.baselines._features import Scale
from midclass.detectors.baselines._patches import PatchMemory, patches_of
from midclass.detectors.baselines.nearest_neighbour import nearest, nearest_traced
from midclass.detectors.catalogue import detector_class, detector_names
from midclass.detectors.export import HEAT, Equality, compared, exported, refuse_unable, tied
from midclass.detectors.folds import Folds
from midclass.detectors.graph import TIE, DetectorGraph, Traced, of_folds
from midclass.detectors.image_scores import BY_HEADS, NAMES, Combination, GivenClass, asinh
from midclass.detectors.known import NETWORK, PROBE, KnownCases
from midclass.detectors.middle_class import MiddleClassDetector
from midclass.detectors.novelty import Novelty
from midclass.evaluation.cross_conformal import cross_conformal_scores
from midclass.training.networks import Network, seeded
from midclass.training.reading import TOPS

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")
ALL = (*NAMES, *BY_HEADS)
NUMBERS = st.floats(-1e4, 1e4, allow_subnormal=False)
SPREADS = st.floats(1e-6, 1e3)
EXPORTED = {
    *("middle_class", "patchcore", "mahalanobis", "nearest_neighbour", "pca"),
    *("one_class_svm", "intensity", "autoencoder", "denoising_autoencoder"),
    *("uncertainty_autoencoder", "feature_autoencoder", "padim", "simplenet"),
    *("reverse_distillation", "heads", "linear_probe"),
}


class Traceable(makers.Brightness):
    """Scores the mean of an image, and exporters can follow."""

    traced = makers.Brightness.score
    makes_heat_maps = False


def calibrated(scores: NDArray[np.float64], max_fpr: float = 0.1) -> Detector:
    """A detector of known scores with these calibration scores."""
    detector = Traceable(makers.recipe())
    detector.calibration_ = np.sort(scores)
    detector.max_fpr_ = max_fpr
    detector.threshold_ = conformal.conformal_threshold(scores, max_fpr)
    return detector


def grey(values: NDArray[np.float64]) -> tuple[Tensor, Tensor]:
    """Images of these values, and their anatomy, which is everywhere."""
    pixels = torch.tensor(values, dtype=torch.float32)[:, None, None, None].expand(-1, 1, 8, 8)
    return pixels, torch.ones(len(values), 1, 8, 8, dtype=torch.bool)


def given_class(n: int, seed: int = 0) -> Prepared:
    prepared = prepare_array(makers.discs(n, seed), makers.trained_recipe())
    cases = tuple(replace(case, label=0) for case in prepared.cases)
    return replace(prepared, cases=Cohort(cases))


def target_class(n: int) -> Prepared:
    """Discs with a bright square."""
    ids = [f"ill{row}" for row in range(n)]
    pixels, recipe = makers.discs(n, 9, square=0.2), makers.trained_recipe()
    return prepare_array(pixels, recipe, case_id=ids, patients=ids, label=1)


@given(st.lists(st.floats(-1e300, 1e300), min_size=1))
@settings(deadline=None)
def test_asinh_by_a_logarithm_is_asinh(values: list[float]) -> None:
    found = asinh(torch.tensor(values, dtype=torch.float64)).numpy()
    np.testing.assert_allclose(found, np.arcsinh(values), rtol=1e-9, atol=1e-15)


@given(st.data())
@settings(deadline=None)
def test_scores_combine_in_torch_as_they_do_in_numpy(data: st.DataObject) -> None:
    names = ALL[: data.draw(st.sampled_from([3, 5]))]
    chosen = data.draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
    size = st.lists(NUMBERS, min_size=len(names), max_size=len(names))
    centre = data.draw(size)
    spread = data.draw(st.lists(SPREADS, min_size=len(names), max_size=len(names)))
    raw = np.array(data.draw(st.lists(size, min_size=1, max_size=5)))
    combination = Combination(tuple(chosen), tuple(centre), tuple(spread), names)
    found = combination.traced(torch.from_numpy(raw)).numpy()
    np.testing.assert_allclose(found, combination(raw), rtol=1e-9, atol=1e-12)


@given(st.data())
@settings(deadline=None)
def test_folds_score_in_torch_as_they_do_in_numpy(data: st.DataObject) -> None:
    folds = data.draw(st.integers(2, 4))
    values = st.lists(NUMBERS, min_size=0, max_size=6)
    calibrations = tuple(np.sort(np.array(data.draw(values), float)) for _ in range(folds))
    if not any(map(len, calibrations)):
        return
    rows = st.lists(NUMBERS, min_size=folds, max_size=folds)
    scores = np.array(data.draw(st.lists(rows, min_size=1, max_size=4)))
    apart = [
        abs(column[:, None] - known).min(initial=np.inf) > 2 * TIE * known.std() + 1e-9
        for known, column in zip(calibrations, scores.T, strict=True)
        if len(known)
    ]
    if not all(apart):  # nearer to a calibration score it counts as equal
        return
    found = of_folds(Folds((), calibrations), torch.from_numpy(scores)).numpy()
    np.testing.assert_allclose(found, cross_conformal_scores(calibrations, scores), rtol=1e-9)


def test_a_tie_moves_a_score_of_folds_by_a_step_and_that_is_no_difference() -> None:
    known = np.array([0.0, 1.0, 2.0, 3.0])
    folds, near = Folds((), (known, known)), np.full((1, 2), 2 + TIE * known.std() / 2)
    in_file = of_folds(folds, torch.from_numpy(near)).numpy()
    assert abs(in_file - folds.scores(near)).max() > 0.05
    low, high = tied(folds, near)
    assert low - 1e-9 <= in_file <= high + 1e-9
    assert tied(folds, near + 0.4)[0] == pytest.approx(folds.scores(near + 0.4), abs=1e-3)


@given(st.lists(st.floats(0, 1, width=32), min_size=10, max_size=40), st.data())
@settings(deadline=None)
def test_p_values_and_flags_of_a_graph_are_those_of_the_detector(
    calibration: list[float], data: st.DataObject
) -> None:
    scores = np.array(data.draw(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=9)))
    detector = calibrated(np.array(calibration))
    graph = DetectorGraph(detector)
    score, p_value, flag = (one.numpy() for one in graph(*grey(scores)))
    near = detector.calibration_[None] + graph.tie
    clear = ((scores[:, None] < detector.calibration_) | (scores[:, None] > near + 1e-6)).all(1)
    np.testing.assert_allclose(score, scores, atol=1e-6)
    np.testing.assert_array_equal(p_value[clear], detector.p_values(scores[clear]))
    np.testing.assert_array_equal(flag[clear], (scores > detector.threshold_)[clear])


def test_a_score_a_hair_above_the_threshold_is_a_tie_and_no_flag() -> None:
    detector = calibrated(np.linspace(0.1, 0.9, 19))
    graph = DetectorGraph(detector)
    hair = np.array([1e-6, 3 * graph.tie]) + detector.threshold_
    _, p_value, flag = (one.tolist() for one in graph(*grey(hair)))
    assert flag == [0, 1]
    assert p_value == [0.15, 0.1]
    assert p_value[0] > detector.p_values(hair)[0]  # never smaller than it should be


def test_an_image_without_anatomy_has_no_score_and_is_not_normal() -> None:
    pixels, anatomy = grey(np.array([0.2, 0.2]))
    anatomy[1] = False
    score, p_value, flag = (
        one.tolist() for one in DetectorGraph(calibrated(np.arange(9.0)))(pixels, anatomy)
    )
    assert np.isfinite(score[0])
    assert np.isnan([score[1], p_value[1]]).all()
    assert flag == [0, -1]


@given(st.integers(0, 2**16))
@settings(max_examples=20, deadline=None)
def test_patches_are_compared_together_as_one_by_one(seed: int) -> None:
    rng = makers.seeded(seed)
    stages = [torch.rand(3, c, side, side, generator=rng) for c, side in ((4, 8), (6, 4), (2, 2))]
    anatomy = torch.rand(3, 1, 4, 4, generator=rng) > torch.tensor([0.3, 0.7, 1.0]).view(3, 1, 1, 1)
    anatomy = anatomy.repeat_interleave(8, 2).repeat_interleave(8, 3)
    batch = ImageBatch.of(torch.rand(3, 1, 32, 32, generator=rng), anatomy)
    known = torch.rand(50, 10, generator=rng)
    memory = PatchMemory(Scale.of(known), Scale.of(known)(known))
    scores, maps = memory.distances(stages, batch)
    traced, cells = memory.traced(stages, batch)
    torch.testing.assert_close(traced, scores, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(cells, maps, atol=1e-4, rtol=1e-4)


@given(st.integers(0, 2**16), st.integers(1, 9))
@settings(max_examples=20, deadline=None)
def test_nearest_images_are_the_same_by_a_matrix_product(seed: int, remembered: int) -> None:
    rng = makers.seeded(seed)
    features, memory = (torch.randn(n, 30, generator=rng) for n in (4, remembered))
    found = nearest_traced(features, memory)
    torch.testing.assert_close(found.float(), nearest(features, memory), atol=1e-5, rtol=1e-5)


@pytest.fixture(scope="module")
def learned() -> Callable[[str], Detector]:
    """Baselines by name, each fitted once."""
    known: dict[str, Detector] = {}

    def get(name: str) -> Detector:
        if name not in known:
            detector = detector_class(name)(makers.trained_recipe(steps=1))
            few = target_class(3) if detector.needs_positives else None
            known[name] = detector.fit(given_class(40), positives=few, max_fpr=0.2)
        return known[name]

    return get


@pytest.mark.parametrize(
    "name", [*sorted({*detector_names()} - {"supervised"}), "supervised.Weighted"]
)
def test_a_detector_is_traced_or_refused_by_name(name: str) -> None:
    kind = detector_class(name)
    assert issubclass(kind, Traced) == (name in EXPORTED)  # type: ignore[misc]
    if name not in EXPORTED:
        with pytest.raises(InputError, match=f"{kind.__name__} cannot be exported"):
            refuse_unable(kind(makers.trained_recipe()))


def assert_alike(detector: Detector, images: Prepared) -> None:
    """The graph says of images what the detector says, within what a tie is."""
    graph, batch = DetectorGraph(detector).eval(), images.batch(slice(None))
    with torch.no_grad():
        said = dict(zip(graph.names, graph(batch.pixels, batch.anatomy), strict=True))
    scores = detector.score_samples(images)
    np.testing.assert_allclose(said["score"], scores, rtol=1e-5, atol=1e-5)
    assert said["flag"].tolist() == detector.predict(images).tolist()
    if detector.makes_heat_maps:
        np.testing.assert_allclose(said["heat_map"], detector.heat_maps(images), atol=1e-4)


ON_MAPS = ["padim", "simplenet", "feature_autoencoder", "reverse_distillation", "heads"]


@pytest.mark.parametrize(
    "name",
    ["pca", "intensity", "one_class_svm", "mahalanobis", "patchcore", "linear_probe", *ON_MAPS],
)
def test_a_graph_says_of_images_what_the_detector_says(
    name: str, learned: Callable[[str], Detector]
) -> None:
    assert_alike(learned(name), given_class(6, seed=5))


def test_a_graph_of_folds_says_what_the_detector_says() -> None:
    detector = detector_class("pca")(makers.trained_recipe())
    detector.fit(given_class(40), folds=3, max_fpr=0.2)
    assert_alike(detector, given_class(6, seed=5))


@pytest.mark.slow
def test_the_method_is_traced_with_all_its_witnesses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("midclass.training.pretrained.SIDE", 64)
    detector = MiddleClassDetector(makers.trained_recipe(pretrained="imagenet"))
    given, rng = given_class(16), np.random.default_rng(0)
    detector.networks_ = detector._new_networks(given.shape, 2, seed=0).eval()
    features = detector.networks_.own.class_head.in_features - len(TOPS)
    detector.given_ = GivenClass.of(torch.from_numpy(rng.normal(0, 1, (80, features))))
    detector.combination_ = Combination.of(rng.normal(0, 1, (30, 5)), ALL)
    held_out = given_class(8, seed=1).batch(slice(None))
    pretrained = detector.networks_.pretrained
    assert pretrained is not None
    learning = detector.images(given)
    detector.novelty_ = Novelty.of(pretrained, learning, [held_out], makers.seeded())
    detector.calibration_ = np.linspace(0, 3, 20)
    detector.max_fpr_, detector.threshold_ = 0.1, 2.5
    assert_alike(detector, given_class(6, seed=5))
    few = detector.images(target_class(3))
    learned = KnownCases.of(detector.networks_, detector.novelty_, few, held_out, seed=0)
    assert learned is not None
    every = Combination.of(rng.normal(0, 1, (30, 2)), (PROBE, NETWORK))
    detector.known_ = replace(learned, units=every)
    assert_alike(detector, given_class(6, seed=5))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"flags": ("a", "b")}, "a and 1 more of 9 images are flagged .* alone"),
        ({"score": 0.2}, "differ by 0.2, where 0.1 is allowed"),
        ({"score": float("nan")}, "differ by nan"),
        ({"heat_map": 2 * HEAT}, "heat maps .* differ by 0.02"),
    ],
)
def test_what_differs_is_not_written(wrong: dict[str, Any], said: str) -> None:
    same = Equality(9, "cases", score=0.1, tolerance=0.1, heat_map=HEAT)
    same.refuse()
    with pytest.raises(InputError, match=said):
        replace(same, **wrong).refuse()


def folder_of(detector: Detector, folder: Path, n: int = 24) -> Path:
    """The saved detector, and discs as files with their manifest."""
    detector.save(folder / "det")
    (folder / "images").mkdir()
    with (folder / "cases.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("path", "label", "patient_id"))
        for number, disc in enumerate(makers.discs(n, seed=7, square=0.3)):
            Image.fromarray((disc[0] * 255).astype(np.uint8)).save(folder / f"images/{number}.png")
            rows.writerow((f"images/{number}.png", 0, f"p{number}"))
    return folder


@pytest.mark.slow
def test_an_exported_detector_says_the_same_in_onnx_runtime(
    learned: Callable[[str], Detector], tmp_path: Path
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="extra [onnx]")
    detector = learned("pca")
    folder_of(detector, tmp_path)
    done = makers.typed("export det --onnx out.onnx --cohort cases.csv", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "flags of 24 cases of cases.csv" in done.stdout
    session = onnxruntime.InferenceSession(str(tmp_path / "out.onnx"))
    about = session.get_modelmeta().custom_metadata_map
    assert "Research only" in about["midclass.use"]
    assert json.loads(about["midclass.promise"])["max_fpr"] == 0.2
    assert float(about["midclass.threshold"]) == detector.threshold_
    assert str(tmp_path) not in json.dumps(about)
    images = given_class(5, seed=9)
    batch = images.batch([*range(5)])
    whole = session.run(None, {"pixels": batch.pixels.numpy(), "anatomy": batch.anatomy.numpy()})
    alone = session.run(
        None, {"pixels": batch.pixels[3:4].numpy(), "anatomy": batch.anatomy[3:4].numpy()}
    )
    np.testing.assert_allclose(whole[0], detector.score_samples(images), rtol=1e-5)
    np.testing.assert_allclose(alone[0], whole[0][3:4], rtol=1e-5)
    own = tmp_path / "own.onnx"
    own.write_text("mine")
    with pytest.raises(InputError, match="is there already"):
        export.run(tmp_path / "det", None, onnx=tmp_path / "out.onnx")
    with pytest.raises(InputError, match="was not written by midclass export"):
        export.run(tmp_path / "det", None, Options(overwrite=True), onnx=own)
    assert own.read_text() == "mine"


@pytest.mark.slow
def test_folds_say_the_same_in_onnx_runtime_also_of_the_cases_that_calibrated(
    learned: Callable[[str], Detector], tmp_path: Path
) -> None:
    """Each of these ties with its own calibration score, and the file counts a tie."""
    pytest.importorskip("onnxruntime", reason="extra [onnx]")
    folder_of(learned("pca"), tmp_path)
    detector = detector_class("pca")(makers.trained_recipe())
    cohort = Cohort.from_manifest(tmp_path / "cases.csv")
    known = prepare(cohort, detector.recipe, cache=tmp_path / "cache")
    detector.fit(known, folds=3, max_fpr=0.2).save(tmp_path / "folded")
    done = makers.typed("export folded --onnx out.onnx --cohort cases.csv", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "flags of 24 cases of cases.csv" in done.stdout


def test_a_score_of_a_graph_that_is_no_number_is_a_difference(
    learned: Callable[[str], Detector],
) -> None:
    """Also behind other images, of which all is well."""
    detector, images = learned("pca"), given_class(20, seed=5)

    class Session:
        """Says what the detector says, and of the last image nothing."""

        def run(self, _: object, inputs: dict[str, Any]) -> list[Any]:
            graph = DetectorGraph(detector)
            said = [one.numpy() for one in graph(*map(torch.from_numpy, inputs.values()))]
            if inputs["pixels"].shape[0] < 8:
                said[0] = said[0] * np.nan
            return said

    found = compared(detector, Session(), images, "images")
    assert np.isnan(found.score)


def test_another_flag_is_told_but_where_a_tie_of_folds_decides() -> None:
    detector, images = detector_class("pca")(makers.trained_recipe()), given_class(6, seed=5)
    detector.fit(given_class(40), folds=3, max_fpr=0.2)
    detector.threshold_ = float(np.sort(detector.score_samples(images))[2])  # of one of them

    class Session:
        """Says what the detector says, and every flag the other way around."""

        def run(self, _: object, inputs: dict[str, Any]) -> list[Any]:
            graph = DetectorGraph(detector)
            said = [one.numpy() for one in graph(*map(torch.from_numpy, inputs.values()))]
            flag = graph.names.index("flag")
            return [1 - one if n == flag else one for n, one in enumerate(said)]

    told = compared(detector, Session(), images, "images").flags
    flagged = detector.score_samples(images) == detector.threshold_
    assert set(told) == {f"array[{n}]" for n in np.flatnonzero(~flagged)}


QUICK = ("middle_class",)
"""At once, the others before a release: a graph takes up to half a minute."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name in QUICK else pytest.mark.thorough)
        for name in sorted(EXPORTED)
    ],
)
def test_whatever_can_be_exported_says_the_same_in_onnx_runtime(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime", reason="extra [onnx]")
    monkeypatch.setattr("midclass.training.pretrained.SIDE", 64)
    detector = detector_class(name)(makers.trained_recipe(steps=1, pretrained="imagenet"))
    few = target_class(3) if detector.needs_positives else None
    detector.fit(given_class(40), positives=few, max_fpr=0.2).save(tmp_path / "det")
    _, equality = exported(detector, tmp_path / "det", given_class(6, seed=5), "images")
    equality.refuse()  # of images alone and together


def test_a_cell_of_which_exactly_half_is_anatomy_counts_alike_however_it_is_summed() -> None:
    stages = [torch.rand(1, 4, 8, 8), torch.rand(1, 6, 4, 4), torch.rand(1, 2, 2, 2)]
    anatomy = torch.zeros(1, 1, 32, 32, dtype=torch.bool)
    anatomy[..., ::2] = True  # half of each cell
    anatomy[..., :16, :] = True
    batch = ImageBatch.of(torch.rand(1, 1, 32, 32), anatomy)
    known = torch.rand(50, 10)
    memory = PatchMemory(Scale.of(known), known)
    exact = memory.traced(stages, batch)[1]
    for off in (-1e-6, 1e-6):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                "midclass.detectors.baselines._patches.patches_of",
                lambda stages, batch, off=off: (
                    patches_of(stages, batch)[0],
                    patches_of(stages, batch)[1] + off,
                ),
            )
            torch.testing.assert_close(memory.traced(stages, batch)[1], exact)
    torch.testing.assert_close(memory.distances(stages, batch)[1], exact, atol=1e-4, rtol=1e-4)


class _Patches(torch.nn.Module):
    """How unusual patches are, as it is part of a graph."""

    def __init__(self, memory: PatchMemory) -> None:
        super().__init__()
        self.memory = memory

    def forward(self, fine: Tensor, coarse: Tensor, anatomy: Tensor) -> Tensor:
        batch = ImageBatch.of(anatomy.float(), anatomy)
        return self.memory.traced([fine, coarse, coarse], batch)[0]


@pytest.mark.slow
def test_as_many_patches_count_in_onnx_runtime_whatever_their_number() -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="extra [onnx]")
    rng = makers.seeded()
    known = torch.rand(50, 10, generator=rng)
    memory = PatchMemory(Scale.of(known), Scale.of(known)(known))
    cells = torch.arange(64)[None] < torch.arange(65)[:, None]  # 0 to 64 of them inside
    anatomy = cells.view(65, 1, 8, 8).repeat_interleave(4, 2).repeat_interleave(4, 3)
    fine, coarse = (torch.rand(65, c, n, n, generator=rng) for c, n in ((4, 8), (6, 4)))
    batch = {0: torch.export.Dim("batch", min=1)}
    program = torch.onnx.export(
        _Patches(memory), (fine, coarse, anatomy), dynamo=True, dynamic_shapes=(batch,) * 3
    )
    assert program is not None
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
    inputs = [one.name for one in session.get_inputs()]
    values = [one.numpy() for one in (fine, coarse, anatomy)]
    (found,) = session.run(None, dict(zip(inputs, values, strict=True)))
    exact = memory.distances([fine, coarse, coarse], ImageBatch.of(anatomy.float(), anatomy))[0]
    np.testing.assert_allclose(found, exact, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("spatial", [(24, 28), (12, 24, 28)])
def test_the_methods_network_says_the_same_in_onnx_runtime(spatial: tuple[int, ...]) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="extra [onnx]")
    rng = makers.seeded()
    make = partial(Network, 3, dims=len(spatial), width=8, pooling="inside")
    network = seeded(make, 0).eval()
    pixels = torch.rand(3, 1, *spatial, generator=rng)
    anatomy = torch.rand(3, 1, *spatial, generator=rng) > 0.3
    batch = {0: torch.export.Dim("batch", min=1)}
    with torch.no_grad():
        exact = network(pixels, anatomy)
        program = torch.onnx.export(
            network, (pixels, anatomy), dynamo=True, dynamic_shapes=(batch, batch)
        )
    assert program is not None
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString())
    names = [one.name for one in session.get_inputs()]
    for rows in (slice(None), slice(1)):
        values = (pixels[rows].numpy(), anatomy[rows].numpy())
        found = session.run(None, dict(zip(names, values, strict=True)))
        for one, other in zip(found, exact, strict=True):
            np.testing.assert_allclose(one, other[rows], rtol=1e-4, atol=1e-4)
