"""The page in a real browser: sorting, filtering, judging, and no error on its console.

Chromium's own ``--dump-dom`` is enough: a copy of the page gets a script that uses it as a reader
does, and writes down what it found. Skipped where no Chromium is installed.
"""

from __future__ import annotations

import csv
import html as entities
import io
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from midclass import ScoreTable
from midclass.evaluation.operating import predictive_values
from midclass.evaluation.page.run import Run
from midclass.evaluation.page.write import html
from page_cases import HOSTILE, about, evaluation, table

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed"),
]
READER = (Path(__file__).parent / "page_reader.js").read_text(encoding="utf-8")
"""Uses a page as a reader does."""


def opened(page: Path) -> tuple[str, str]:
    """What a page is when its scripts have run, and what the browser's console said."""
    command = [
        str(BROWSER),
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-extensions"),
        *("--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=3000"),
        *("--enable-logging=stderr", "--v=0", f"--user-data-dir={page.parent / 'browser'}"),
        *("--dump-dom", page.as_uri()),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    said = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return done.stdout, "\n".join(said)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], ScoreTable, str]:
    """What a reader finds on a page with hostile names; its scores; what the console said."""
    folder = tmp_path_factory.mktemp("browser")
    scores = table(name=lambda i: f"=case {i} {HOSTILE}")
    run = evaluation(folder / "run", scores, about(target_class=HOSTILE))
    text = html(Run.read(run))
    copy = folder / "page.html"
    at = text.rindex("</body>")
    copy.write_text(f"{text[:at]}<script>{READER}</script>{text[at:]}", encoding="utf-8")
    shown, said = opened(copy)
    told = re.search(r'<pre id="found">(.*?)</pre>', shown, re.S)
    assert told, said
    return json.loads(entities.unescape(told[1])), ScoreTable.read(run / "scores.csv"), said


def test_the_console_stays_empty(found: tuple[dict[str, Any], ScoreTable, str]) -> None:
    assert found[2] == ""


def test_a_click_on_a_head_sorts_up_and_again_down_with_what_is_empty_last(
    found: tuple[dict[str, Any], ScoreTable, str],
) -> None:
    shown, scores, _ = found
    order = sorted(scores.score[scores.assessed])
    up, down = ([float(one) for one in shown[way] if one] for way in ("up", "down"))
    assert up == pytest.approx(order[: len(up)], rel=1e-3)
    assert down == pytest.approx(order[::-1][: len(down)], rel=1e-3)
    assert len(up) == len(down) == 50
    patients = [float(one) for one in shown["patients"] if one]
    assert patients == sorted(patients)


def test_names_sort_by_their_numbers_and_by_keyboard_too(
    found: tuple[dict[str, Any], ScoreTable, str],
) -> None:
    shown, scores, _ = found
    assert shown["names"] == scores.case_id.tolist()[::-1][:50]


def test_filters_show_those_cases_and_no_others(
    found: tuple[dict[str, Any], ScoreTable, str],
) -> None:
    shown, scores, _ = found
    alarms = scores.case_id[scores.flagged & (scores.label == 0)]
    assert set(shown["alarms"]) == set(alarms.tolist())
    cases, p_values = shown["unseen"]
    assert set(cases) == set(scores.case_id[~scores.assessed].tolist()) == set(shown["first"])
    assert p_values == [""] * 3


def test_keys_judge_cases_and_the_csv_says_so(
    found: tuple[dict[str, Any], ScoreTable, str],
) -> None:
    """The three highest scores are flagged: agreed is 1, disagreed 0, unsure neither."""
    shown, scores, _ = found
    assert shown["viewer"][:2] == [True, "0"]
    rows = list(csv.DictReader(io.StringIO(shown["csv"])))
    clearest = scores.case_id[scores.assessed][(-scores.score[scores.assessed]).argsort()][:3]
    assert [row["case_id"] for row in rows] == [f"'{case}" for case in clearest]  # no formula
    assert [row["judgement"] for row in rows] == ["agree", "disagree", "unsure"]
    assert [row["label"] for row in rows] == ["1", "0", ""]


def test_the_browser_computes_predictive_values_as_midclass_does(
    found: tuple[dict[str, Any], ScoreTable, str],
) -> None:
    shown, scores, _ = found
    seen = scores.take(scores.assessed)
    hit, alarm = (seen.flagged[seen.label == label].mean() for label in (1, 0))
    expected = predictive_values(float(hit), 1 - float(alarm), 0.1).positive
    assert float(shown["positive"].removesuffix(" %")) == pytest.approx(100 * expected, abs=0.05)


def test_errors_have_their_pictures_and_every_picture_has_words(
    found: tuple[dict[str, Any], ScoreTable, str],
) -> None:
    assert found[0]["tiles"] > 0
    assert found[0]["alts"]
