"""One look at each image: scores, heat maps and examples come from one pass over the network."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from midclass import (
    Cohort,
    Detector,
    ImageBatch,
    MiddleClassDetector,
    Recipe,
    load_detector,
    prepare,
)
from midclass.cli.commands import evaluate, fit, score
from midclass.cli.commands.source import Source
from midclass.cli.options import Options
from midclass.detectors.cohort_scores import score_table
from midclass.detectors.eye import LOOK
from midclass.detectors.heat_maps import kept_heat_maps
from midclass.detectors.look import Look
from midclass.evaluation.table import ScoreTable
from midclass.images import phantoms
from midclass.training.lesson import FORWARD_BATCH

RECIPE = """\
extends: phantoms
name: tiny
geometry: {size: [32, 32], field_of_view_mm: 200}
budget: {steps: 4, batch: 8, width: 8, checkpoints: 1, pretrained: null}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Phantoms, a recipe and a detector, ``detector``."""
    folder = tmp_path_factory.mktemp("look")
    phantoms.write(folder / "data", "breast", 0, 60, 40, size=48)
    (folder / "tiny.yaml").write_text(RECIPE)
    options = Options(cache=folder / "cache")
    cases = Source(folder / "data" / "manifest.csv")
    fit.run(str(folder / "tiny.yaml"), cases, options, out=folder / "detector", max_fpr=0.1)
    return folder


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images went through the detector, call by call."""
    numbers: list[int] = []
    whole = MiddleClassDetector.score

    def counted(self: Detector, images: ImageBatch) -> tuple[torch.Tensor, torch.Tensor]:
        if len(images) > 1:  # loading a detector looks once at noise
            numbers.append(len(images))
        return whole(self, images)

    monkeypatch.setattr(MiddleClassDetector, "score", counted)
    return numbers


@pytest.mark.slow
def test_77_cases_scored_with_heat_maps_are_77_images_through_the_network(
    folder: Path, looked_at: list[int], tmp_path: Path
) -> None:
    cases = Cohort.from_manifest(folder / "data" / "manifest.csv").part("test")[:77]
    options = Options(cache=folder / "cache")
    maps, out = tmp_path / "maps", tmp_path / "scores.csv"
    assert score.run(folder / "detector", cases, options, out=out, heat_maps=maps)
    assert len(cases) == len(list(maps.glob("*.png"))) == 77
    assert looked_at == [LOOK] * -(-77 // LOOK)  # the last look is filled up


COUNT_OPENS = """
import collections, sys
from midclass.cli.app import app

opened = collections.Counter()

def hook(event, arguments):
    if event == "open" and "/data/images/" in str(arguments[0]):
        opened[str(arguments[0])] += 1

sys.addaudithook(hook)
try:
    app(sys.argv[1:])
except SystemExit as end:
    assert not end.code
assert len(opened) == 80, len(opened)
assert set(opened.values()) == {2}, opened.most_common(3)
"""


@pytest.mark.thorough
@pytest.mark.slow
def test_80_cases_scored_with_heat_maps_open_each_file_to_score_and_to_draw_it(
    folder: Path, tmp_path: Path
) -> None:
    manifest, out = folder / "data" / "manifest.csv", tmp_path / "scores.csv"
    command = ["score", folder / "detector", "--cohort", manifest, "--split", "split", "--part"]
    command += ["test", "--out", out, "--heat-maps", tmp_path / "maps", "--cache", tmp_path / "new"]
    command += ["--jobs", "1"]  # or other processes open some of them
    subprocess.run([sys.executable, "-c", COUNT_OPENS, *map(str, command)], check=True)


@pytest.mark.slow
def test_an_evaluation_with_examples_looks_at_each_image_once(
    folder: Path, looked_at: list[int], tmp_path: Path
) -> None:
    cases, options = Source(folder / "data" / "manifest.csv"), Options(cache=folder / "cache")
    evaluate.run(folder / "detector", cases, options, out=tmp_path / "evaluation")
    assert looked_at == [LOOK] * -(-80 // LOOK)
    names = {path.name for path in (tmp_path / "evaluation").iterdir()}
    tables, pictures = {"scores.csv", "patients.csv", "summary.json"}, {"roc.png", "heat_maps.png"}
    page = {"page.html", "pictures.zip", "run.json"}
    beside = {"midclass.json", "scores.provenance.json"}
    assert names - beside == tables | pictures | page


def test_scores_without_and_with_heat_maps_are_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    cases = Cohort.from_manifest(folder / "data" / "manifest.csv").part("test")[:20]
    options = Options(cache=folder / "cache")
    for name, maps in (("without.csv", None), ("with.csv", tmp_path / "maps")):
        score.run(folder / "detector", cases, options, out=tmp_path / name, heat_maps=maps)
    assert (tmp_path / "without.csv").read_bytes() == (tmp_path / "with.csv").read_bytes()


@pytest.mark.slow
def test_a_cohort_of_many_blocks_gives_the_same_bytes_and_pictures_as_one(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    cases = Cohort.from_manifest(folder / "data" / "manifest.csv").part("test")[:66]
    bad = replace(cases[0], case_id="bad", path=tmp_path / "bad.png")
    cases = Cohort((*cases, bad))
    options, made = Options(cache=folder / "cache"), []
    for size in (1000, FORWARD_BATCH):
        monkeypatch.setattr(score, "BLOCK", size)
        maps, out = tmp_path / f"maps{size}", tmp_path / f"{size}.csv"
        assert not score.run(folder / "detector", cases, options, out=out, heat_maps=maps)
        pictures = {path.name: path.read_bytes() for path in maps.glob("*.png")}
        made.append((out.read_bytes(), pictures))
    assert made[0] == made[1]
    assert len(made[0][1]) == 66


def test_blocks_are_whole_batches_of_the_network() -> None:
    """Else the last bits of a score would depend on where its block ends."""
    assert score.BLOCK % FORWARD_BATCH == FORWARD_BATCH % LOOK == 0


def test_where_nothing_can_be_read_every_case_has_a_row_all_the_same(
    folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "bad.png").write_bytes(b"no image")
    out, options = tmp_path / "scores.csv", Options(cache=folder / "cache")
    bad = Cohort.from_files([tmp_path / "bad.png"])
    assert not score.run(folder / "detector", bad, options, out=out)
    table = ScoreTable.read(out)
    assert table.assessed.tolist() == [False]
    assert table.reason[0].startswith("cannot be used: its content is none")


def test_what_a_consumer_does_between_looks_is_no_inference(folder: Path) -> None:
    """A generator that yielded inside inference mode would spoil the training of its caller."""
    recipe = Recipe.load(folder / "tiny.yaml")
    cases = Cohort.from_manifest(folder / "data" / "manifest.csv").part("test")[:4]
    prepared = prepare(cases, recipe, cache=folder / "cache")
    for _ in load_detector(folder / "detector").looks(prepared):
        assert not torch.is_inference_mode_enabled()


def looks(maps: np.ndarray, anatomy: np.ndarray, rows: list[int]) -> Iterator[Look]:
    """Two at a time."""
    for start in range(0, len(rows), 2):
        some = np.array(rows[start : start + 2])
        mask = torch.from_numpy(anatomy[some])[:, None]
        batch = ImageBatch.of(torch.zeros(mask.shape), mask)
        yield Look(some, batch, np.zeros(len(some)), maps[some])


def test_where_others_saw_no_look_none_is_taken_again(folder: Path, looked_at: list[int]) -> None:
    detector = load_detector(folder / "detector")
    cases = Cohort.from_manifest(folder / "data" / "manifest.csv").part("test")[:3]
    prepared = prepare(cases, detector.recipe, cache=folder / "cache")
    table = score_table(detector, prepared, looks=[])
    assert looked_at == []
    assert not table.assessed.any()


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32), n=st.integers(1, 7))
def test_kept_heat_maps_are_found_by_their_row(
    tmp_path_factory: pytest.TempPathFactory, seed: int, n: int
) -> None:
    rng = np.random.default_rng(seed)
    maps = rng.random((n, 4, 3)).astype(np.float32)
    anatomy = np.ones((n, 4, 3), bool)
    rows = rng.permutation(n)[: rng.integers(1, n + 1)].tolist()
    with kept_heat_maps(tmp_path_factory.getbasetemp()) as kept:
        assert len(list(kept.keeping(looks(maps, anatomy, rows)))) == -(-len(rows) // 2)
        for row in set(range(n)) - set(rows):
            assert kept.get(row) is None
        for row in rows:
            np.testing.assert_array_equal(kept.get(row), maps[row])
