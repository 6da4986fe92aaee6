"""What follows from a score table, and what the command line refuses to evaluate."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from midclass import Case, Cohort, InputError, ScoreTable, report
from midclass.evaluation.calibrated import CalibratedPatients
from midclass.evaluation.patients import patient_table
from midclass.evaluation.report import auroc_of, examples
from midclass.evaluation.table import UNKNOWN
from midclass.images import phantoms
from midclass.images.cohort import choose
from midclass.images.identity import FITTED_WITH, content_of, fitted_with, refuse_seen


def _table(n: int = 40, **extra: NDArray[np.int64]) -> ScoreTable:
    rng = np.random.default_rng(0)
    label = np.arange(n) % 2
    return ScoreTable.of(
        [f"case{i}" for i in range(n)],
        [f"patient{i // 8}-{label[i]}" for i in range(n)],
        label,
        rng.normal(0.4 * label),
        threshold=1.0,
        class_name=np.where(label == 1, "mass", "normal"),
        extra=extra,
    )


def test_the_report_of_a_table_read_back_from_disk_is_the_same(tmp_path: Path) -> None:
    table = _table(assumed_spacing=np.ones(40, int))
    table.write(tmp_path / "scores.csv")
    figures = report(table, 0.05)
    assert json.dumps(figures) == json.dumps(report(ScoreTable.read(tmp_path / "scores.csv"), 0.05))
    assert figures["assumed_spacing"] == 40
    assert figures["auroc_per_patient"] is not None


def test_cases_that_cannot_be_assessed_are_counted_by_class() -> None:
    table = _table()
    table.score[[0, 1, 2]] = np.nan
    assert report(table, 0.05)["not_assessed"] == {"given": 2, "target": 1}


def test_series_with_one_label_for_all_of_their_images_are_counted() -> None:
    series = np.array([f"s{i // 4}" for i in range(40)])
    whole = replace(_table(), label=(np.arange(40) // 4) % 2, extra={"series_id": series})
    assert report(whole, 0.05)["labelled_as_one"] == 5
    labels = whole.label.copy()
    labels[5] = 0  # somebody looked at the slices
    assert report(replace(whole, label=labels), 0.05)["labelled_as_one"] == 0
    labels[5] = UNKNOWN
    assert report(replace(whole, label=labels), 0.05)["labelled_as_one"] == 5
    alone = replace(whole, extra={"series_id": np.arange(40).astype(str)})
    assert report(alone, 0.05)["labelled_as_one"] == 0
    assert report(replace(whole, extra={}), 0.05)["labelled_as_one"] == 0


def test_figures_by_patient_are_of_the_scores_by_which_patients_are_flagged() -> None:
    """A summary smoothed scores along slices, so that it was of no table's scores."""
    noise, lesion = [3.0, 0, 0, 3, 0, 0, 3, 0], [0.0, 0, 2, 2, 2, 0, 0, 0]
    table = ScoreTable.of(
        [f"case{i}" for i in range(32)],
        np.repeat(["a", "b", "c", "d"], 8),
        np.repeat([0, 0, 1, 1], 8),
        np.concatenate([noise, noise, lesion, lesion]),
        extra={"slice": np.tile(np.arange(8.0), 4)},
    )
    found = report(table, 0.05)["auroc_per_patient"]["value"]
    assert found == auroc_of(patient_table(table, CalibratedPatients(np.empty(0)), 0.05)) == 0


def test_slice_numbers_follow_the_rows_of_the_manifest(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).write_text(name)
    manifest = tmp_path / "m.csv"

    def slices() -> list[float | None]:
        return [case.slice for case in Cohort.from_manifest(manifest)]

    manifest.write_text('path, slice,notes\na,3,"two\nlines"\n\nb,1,\nc,2,\n')
    assert slices() == [3, 1, 2]
    manifest.write_text("path,slice\na,3\nb,\nc,nan\n")
    assert slices() == [3, None, None]
    manifest.write_text("path\na\n")
    assert slices() == [None]


def test_a_case_that_cannot_be_assessed_is_no_example() -> None:
    table = _table()
    table.score[table.label == 1] = np.nan
    rows = examples(table, n=3)
    assert not len(rows["hits"])
    assert not len(rows["misses"])
    assert (np.diff(table.score[rows["false alarms"]]) <= 0).all()


def _cohort(folder: Path, *contents: str, patient: str = "p") -> Cohort:
    cases = []
    for i, text in enumerate(contents):
        path = folder / f"{patient}{i}.png"
        path.write_text(text)
        cases.append(Case(f"{patient}{i}", path, 0, f"{patient}{i}"))
    return Cohort(tuple(cases), "cohort")


def shown(cases: Iterable[Case]) -> list[str]:
    return [content_of(case) for case in cases]


def test_patients_and_images_of_the_fit_are_refused_and_named(tmp_path: Path) -> None:
    seen = _cohort(tmp_path, "one", "two", patient="seen")
    (tmp_path / FITTED_WITH).write_text(fitted_with(seen, shown(seen)))
    new = _cohort(tmp_path, "three", patient="new")
    refuse_seen(tmp_path, new, shown(new))
    with pytest.raises(InputError, match="patient seen0"):
        refuse_seen(tmp_path, seen)
    other = _cohort(tmp_path, "three", "two", patient="other")
    with pytest.raises(InputError, match="image of other1 was used"):
        refuse_seen(tmp_path, other, shown(other))
    with pytest.raises(InputError, match="is missing"):
        refuse_seen(tmp_path / "elsewhere", seen)
    (tmp_path / FITTED_WITH).write_text("{}")
    with pytest.raises(InputError, match="damaged"):
        refuse_seen(tmp_path, seen)


def test_what_an_earlier_version_kept_of_a_fit_is_understood(tmp_path: Path) -> None:
    """Files, rows of arrays and patients by the first 16 digits of their SHA-256."""

    def digits(content: bytes) -> str:
        return hashlib.sha256(content).hexdigest()[:16]

    file = Case("file", tmp_path / "a.png", 0, "p1")
    file.path.write_bytes(b"some image")
    pixels = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
    np.savez(tmp_path / "b.npz", images=pixels)
    row = Case("row", tmp_path / "b.npz", 0, "p2", array="images", index=1)
    contents = [digits(b"some image"), digits(b"uint16 (3, 4)" + pixels[1].tobytes())]
    for case, content in zip((file, row), contents, strict=True):
        old = {"patients": [digits(b"somebody")], "contents": [content]}
        (tmp_path / FITTED_WITH).write_text(json.dumps(old))
        with pytest.raises(InputError, match=f"image of {case.case_id} was used"):
            refuse_seen(tmp_path, Cohort((case,)), shown([case]))
        with pytest.raises(InputError, match="patient somebody"):
            refuse_seen(tmp_path, Cohort((replace(case, patient_id="somebody"),)))


def test_rows_of_one_array_are_told_apart(tmp_path: Path) -> None:
    pixels = phantoms.make("breast", 3, 0, size=32)
    np.savez(tmp_path / "x.npz", images=pixels[[0, 1, 2, 1]])
    cases = [Case(str(i), tmp_path / "x.npz", 0, str(i), array="images", index=i) for i in range(4)]
    (tmp_path / FITTED_WITH).write_text(fitted_with(cases[:2], shown(cases[:2])))
    refuse_seen(tmp_path, Cohort(tuple(cases[2:3])), shown(cases[2:3]))
    with pytest.raises(InputError, match="image of 3"):
        refuse_seen(tmp_path, Cohort(tuple(cases[2:])), shown(cases[2:]))


def test_what_is_kept_of_a_fit_names_nobody(tmp_path: Path) -> None:
    seen = _cohort(tmp_path, "one", patient="seen")
    assert "seen" not in fitted_with(seen, shown(seen))


def test_a_contact_sheet_draws_from_the_given_class_and_repeats_patients_late() -> None:
    cases = [Case(f"{p}{i}", Path(f"{p}{i}"), i % 2, str(p)) for p in range(5) for i in range(6)]
    chosen = choose(Cohort(tuple(cases)), 7, seed=1)
    assert set(chosen.labels) == {0}
    assert len(chosen[:5].patients) == 5
    assert [c.case_id for c in chosen] == [
        c.case_id for c in choose(Cohort(tuple(cases)), 7, seed=1)
    ]


@pytest.mark.parametrize(("cases", "told"), [(1, False), (2, True), (3, True)])
def test_patients_have_a_figure_of_their_own_where_they_have_several_cases(
    cases: int, told: bool
) -> None:
    n = 20
    label = np.repeat(np.arange(n) % 2, cases)
    score = np.random.default_rng(0).normal(label)
    patients = [f"p{i // cases}" for i in range(n * cases)]
    table = ScoreTable.of([f"c{i}" for i in range(n * cases)], patients, label, score)
    assert (report(table, 0.1)["auroc_per_patient"] is not None) == told
