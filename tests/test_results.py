"""Score tables: exact on disk, whole or not there, and clear about what is wrong in them."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from midclass import InputError, ScoreTable
from midclass.evaluation import metrics
from midclass.evaluation.report import summary

text = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=6)
scores = st.floats(allow_nan=False, max_value=1.7e308)


@st.composite
def tables(draw):
    ids = draw(st.lists(text.filter(bool), min_size=1, max_size=6, unique=True))

    def column(cells):
        return draw(st.lists(cells, min_size=len(ids), max_size=len(ids)))

    return ScoreTable.of(
        ids,
        column(text.filter(bool)),
        column(st.sampled_from([0, 1, -1])),
        column(scores),
        column(scores.filter(np.isfinite) | st.just(float("nan"))),
        column(text),
        {"p_value": column(st.floats()), "note": ["not a number", *column(text)[1:]]},
    )


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tables())
def test_a_table_is_read_back_exactly(tmp_path, table):
    table.write(tmp_path / "scores" / "0.csv")
    again = ScoreTable.read(tmp_path / "scores" / "0.csv")
    assert list(again.columns()) == list(table.columns())
    for name, values in table.columns().items():
        np.testing.assert_array_equal(again.columns()[name], values, strict=False)
    np.testing.assert_array_equal(again.flagged, table.flagged)


def test_float32_scores_keep_their_value(tmp_path):
    values = np.random.default_rng(0).normal(size=100).astype(np.float32)
    names = np.arange(100).astype(str)
    ScoreTable.of(names, names, [0] * 100, values).write(tmp_path / "a.csv")
    assert (ScoreTable.read(tmp_path / "a.csv").score.astype(np.float32) == values).all()


HEADER = "case_id,patient_id,label,class_name,score,threshold"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no row with a case"),
        (f"{HEADER}\n", "no row with a case"),
        ("case_id,score\na,1\n", "row 1: no column patient_id"),
        (f"{HEADER},score\na,p,0,,1,,1\n", "row 1: a column is there twice"),
        (f"{HEADER}\na,p,0,,1,\nb,p,0,\n", "row 3: 4 cells, but row 1 has 6"),
        (f"{HEADER}\na,p,0,,1,\nb,p,0,,high,\n", "row 3, column score: found 'high'"),
        (f"{HEADER}\na,p,0,,,\n", "row 2, column score: found ''"),
        (f"{HEADER}\na,p,0,,nan,\n", "row 2, column score: found 'nan'"),
        (f"{HEADER}\na,p,normal,,1,\n", "row 2, column label: found 'normal'"),
        (f"{HEADER}\na,p,2,,1,\n", "row 2, column label: found '2'"),
        (f"{HEADER}\na,p,0,,1,x\n", "row 2, column threshold: found 'x'"),
        (f"{HEADER}\na,p,0,,inf,\n", "row 2, column score: found 'inf'"),
        (f"{HEADER},assessed\na,p,0,,,,1\n", "row 2, column score: found ''"),
        (f"{HEADER},assessed\na,p,0,,2,,0\n", "found '2' of a case with assessed 0"),
        (f"{HEADER},assessed\na,p,0,,2,,no\n", "row 2, column assessed: found 'no'"),
        (f"{HEADER},reason\na,p,0,,2,,small\n", "row 2, column reason: found 'small'"),
        (f"{HEADER}\na,,0,,1,\n", "row 2, column patient_id: found ''"),
        (f"{HEADER}\na,p,0,,1,\nb,p,0,,1,\na,p,0,,1,\n", "row 4, column case_id: found 'a'"),
        (b"\xff\xfe\x00", "no readable CSV"),
    ],
)
def test_an_error_names_file_row_and_column(tmp_path, content, message):
    path = tmp_path / "bad.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message) as caught:
        ScoreTable.read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_missing_table_and_columns_of_unequal_length_are_refused(tmp_path):
    for name in ("none.csv", "none.parquet"):
        with pytest.raises(InputError, match=rf"{name}: no such score table"):
            ScoreTable.read(tmp_path / name)
    with pytest.raises(InputError, match=r"column score has the shape \(1,\)"):
        ScoreTable.of(["a", "b"], ["p", "q"], [0, 1], [1.0])


def example(threshold=1.5, label=None):
    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(60), 3)
    y = (patients % 3 == 0).astype(int)
    return ScoreTable.of(
        np.arange(180),
        patients,
        y if label is None else label,
        rng.normal(size=180) + 1.5 * y,
        threshold,
        np.where(y == 1, np.where(patients % 2 == 0, "mass", "haze"), "normal"),
    )


def test_a_summary_holds_every_figure_and_is_json():
    table = example()
    found = summary(table, 0.1, n_resamples=100)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["cases"] == {"given": 120, "target": 60, "unknown": 0}
    assert found["patients"] == {"given": 40, "target": 20}
    assert found["auroc"]["value"] == metrics.auroc(table.label, table.score)
    assert found["false_alarm_rate"]["value"] == np.mean(table.score[table.label == 0] > 1.5)
    assert set(found["auroc_per_class"]) == {"haze", "mass"}
    for figure in ("auroc", "auroc_per_patient", "sensitivity", "sensitivity_at_max_fpr"):
        assert found[figure]["low"] <= found[figure]["value"] <= found[figure]["high"]
    assert found["auroc_per_patient"]["value"] > found["auroc"]["value"]


def test_a_summary_leaves_out_unknown_cases_and_figures_without_a_threshold():
    label = example().label.copy()
    label[:30] = -1
    found = summary(example(np.nan, label), 0.1, n_resamples=20)
    assert found["cases"]["unknown"] == 30
    assert found["sensitivity"] is found["false_alarm_rate"] is None


def test_importing_the_results_is_cheap():
    modules = "midclass.evaluation.table, midclass.evaluation.conformal"
    code = f"import sys; import {modules}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True
    )
    assert not {"torch", "sklearn", "scipy"} & set(loaded.stdout.split())


def test_a_quote_that_is_not_closed_is_no_score_table(tmp_path):
    text = "case_id,patient_id,label,class_name,score,threshold\n"
    (tmp_path / "a.csv").write_text(text + '"a"b,p,0,,0.5,\n')
    with pytest.raises(InputError, match="no readable CSV file"):
        ScoreTable.read(tmp_path / "a.csv")


def test_every_interval_has_the_number_of_resamples_that_is_asked_for():
    rng = np.random.default_rng(0)
    names, label = [f"c{i}" for i in range(60)], np.arange(60) % 2
    table = ScoreTable.of(names, names, label, rng.normal(label), threshold=0.5)
    few, many = (summary(table, 0.1, n_resamples=n) for n in (3, 1000))
    for figure in ("auroc", "average_precision"):  # shares are exact, and draw nothing
        narrow, wide = (found[figure]["high"] - found[figure]["low"] for found in (few, many))
        assert narrow < wide
