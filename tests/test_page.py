"""The page of an evaluation: its figures are those of the files, and nothing in it can do harm."""

from __future__ import annotations

import io
import json
import re
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import colormaps

from makers import typed
from midclass import InputError, ScoreTable, report
from midclass.cli.commands import view
from midclass.evaluation.heat import HeatScale
from midclass.evaluation.operating import operating_points, predictive_values
from midclass.evaluation.page.pictures import Pictures, new_pictures
from midclass.evaluation.page.run import Run
from midclass.evaluation.page.write import html
from midclass.evaluation.panel import Panel, over, rgb
from midclass.files import digest
from midclass.owned import foreign
from page_cases import HOSTILE, LOCALISATION, about, evaluation, table


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An evaluation that tests only read."""
    return evaluation(tmp_path_factory.mktemp("page") / "run", table())


@pytest.fixture(scope="module")
def page(run: Path) -> str:
    return html(Run.read(run))


class Parsed(HTMLParser):
    """Attributes of all elements, and what is within ``<script id="data">``."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.data = ""
        self._inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag == "script" and dict(attrs).get("id") == "data"

    def handle_endtag(self, tag: str) -> None:
        self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.data += data


def test_every_figure_that_a_page_names_is_that_of_the_summary(run: Path, page: str) -> None:
    figures = json.loads((run / "summary.json").read_text())
    shown = {
        named: float(attributes["data-exact"] or "nan")
        for _, attributes in Parsed(page).elements
        if (named := attributes.get("data-figure"))
    }
    assert set(shown) >= {"sensitivity", "false_alarm_rate", "auroc", "average_precision"}
    assert shown == {name: figures[name]["value"] for name in shown}


def test_how_well_heat_maps_point_at_lesions_is_there_where_it_was_measured(
    run: Path, page: str
) -> None:
    whole = Run.read(run)
    shown = html(replace(whole, figures={**whole.figures, "localisation": LOCALISATION}), "none")
    exact = {
        one["data-figure"]: one["data-exact"]
        for _, one in Parsed(shown).elements
        if "localisation" in (one.get("data-figure") or "")
    }
    assert exact == {
        "localisation.0.1": "0.36",
        "localisation.0.3": "0.6",
        "localisation.1": "0.64",
    }
    said = shown.replace("\N{NO-BREAK SPACE}", " ")
    assert (
        "Of 25 places known to show disease, the heat maps point at 60 % (38.7 to 78.9 %), where "
        "3 false marks are allowed in 10 normal images."
    ) in said
    for text in ("18 % to 57.5 %", "2 further lesions are in images", "all marks count", "4 mm"):
        assert text in said
    assert 'href="#localisation"' in shown
    assert "localisation" not in page


def test_a_page_says_where_images_show_the_anatomy_otherwise(run: Path, page: str) -> None:
    whole = Run.read(run)
    figures = {**whole.figures, "framed_otherwise": ["it lies lower in 90% of them"]}
    shown = html(replace(whole, figures=figures), "none")
    assert "learned from: it lies lower in 90% of them. Whether the promise holds" in shown
    assert "show the anatomy otherwise" not in page


def test_a_page_calls_the_figure_of_a_checkpoint_what_it_is(tmp_path: Path) -> None:
    """What training knows in held-out patients, and apart from it what nobody described."""
    plain = about()["histories"][0]
    known = plain | {"scores": {"log_odds": 0.7}, "undescribed": 0.5961}
    pages = []
    for number, history in enumerate((plain, known)):
        where = evaluation(tmp_path / str(number), table(), about() | {"histories": [history]})
        pages.append(html(Run.read(where)))
    other, method = pages
    assert "AUROC of middle classes of held-out patients" in method
    assert "which training does not know: AUROC 0.596" in method
    assert "held-out operators" not in method
    assert "figure on held-out images, higher is better" in other
    assert "AUROC of middle classes" not in other
    assert "which training does not know" not in other


def test_another_summary_makes_another_page(run: Path, page: str, tmp_path: Path) -> None:
    figures = json.loads((run / "summary.json").read_text())
    figures["auroc"]["value"] = 0.123
    other = evaluation(tmp_path / "run", table())
    (other / "summary.json").write_text(json.dumps(figures))
    assert "0.123" in html(Run.read(other))
    assert "0.123" not in page


def test_the_operating_point_in_use_is_that_of_the_threshold() -> None:
    scores = table()
    figures = report(scores, 0.05)
    (point,) = operating_points(scores, [0.05])
    assert point.sensitivity == tuple(figures["sensitivity"].values())
    assert point.specificity.rest.value == pytest.approx(figures["false_alarm_rate"]["value"])


@given(st.integers(1, 50), st.integers(1, 50), st.data())
def test_predictive_values_are_those_of_counted_cases(
    given_cases: int, target_cases: int, data: st.DataObject
) -> None:
    alarms = data.draw(st.integers(0, given_cases))
    found = data.draw(st.integers(0, target_cases))
    all_cases = given_cases + target_cases
    values = predictive_values(
        found / target_cases, 1 - alarms / given_cases, target_cases / all_cases
    )
    if found + alarms:
        assert values.positive == pytest.approx(found / (found + alarms))
    calm = all_cases - found - alarms
    if calm:
        assert values.negative == pytest.approx((given_cases - alarms) / calm)
    assert values.false_alarms == pytest.approx(1000 * alarms / all_cases)
    assert values.found + values.missed == pytest.approx(1000 * target_cases / all_cases)


def test_a_hostile_name_is_text_wherever_it_stands(tmp_path: Path) -> None:
    scores = table(name=lambda i: f"{i}{HOSTILE}")
    words = about(summary=HOSTILE, target_class=HOSTILE, given_class=HOSTILE, name=HOSTILE)
    words["recipe"]["knowledge"][0]["why"] = HOSTILE
    folder = evaluation(tmp_path / "run", scores, words)
    parsed = Parsed(html(Run.read(folder)))
    assert [tag for tag, _ in parsed.elements].count("script") == 2
    assert not any("onerror" in attributes for _, attributes in parsed.elements)
    assert not any(tag == "img" for tag, _ in parsed.elements)
    data = json.loads(parsed.data)
    assert {row[0] for row in data["rows"]} == set(scores.case_id.tolist())
    assert data["target"] == HOSTILE


def test_a_page_asks_no_network_for_anything(page: str) -> None:
    own = {"href", "src", "srcset", "action", "data", "poster", "xlink:href"}
    for _, attributes in Parsed(page).elements:
        for name in own & attributes.keys():
            assert (attributes[name] or "").startswith(("data:", "#"))
    assert not re.search(r"https?:|url\(|@import|fetch\(|XMLHttp|WebSocket|import\(", page)
    assert "default-src 'none'" in page


@pytest.mark.slow
def test_1000_cases_with_pictures_stay_below_5_mb_and_errors_have_theirs(tmp_path: Path) -> None:
    scores = table(1000)
    folder = evaluation(tmp_path / "run", scores)
    rng = np.random.default_rng(0)
    with zipfile.ZipFile(folder / "pictures.zip", "w") as file:
        for case in scores.case_id:
            for end in ("", "_heat"):
                file.writestr(f"{digest(str(case))}{end}.webp", rng.bytes(9_000))
    text = html(Run.read(folder))
    assert 3_000_000 < len(text.encode()) < 5_000_000
    data = json.loads(Parsed(text).data)
    tiles = [a["data-place"] for _, a in Parsed(text).elements if "data-place" in a]
    assert len(tiles) > 12
    assert set(tiles) <= data["pictures"].keys()


def test_all_pictures_or_none_are_there_where_that_is_asked_for(run: Path) -> None:
    for which, number in (("all", 12), ("none", 0)):
        assert len(json.loads(Parsed(html(Run.read(run), which)).data)["pictures"]) == number


def test_cases_not_assessed_come_first_with_their_reason_and_no_score(page: str) -> None:
    rows = json.loads(Parsed(page).data)["rows"]
    assert [row[4:] for row in rows[:3]] == [[None, 1.5, None, None, "small: 3 mm2"]] * 3
    scores = [row[4] for row in rows[3:]]
    assert scores == sorted(scores, reverse=True)
    assert "3 images could not be assessed" in page


def test_image_and_heat_layer_together_are_the_heat_map_that_others_show(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    smooth = np.linspace(0.2, 0.8, 32)[None, None] * np.ones((1, 32, 1))
    panel = Panel(smooth, heat=rng.uniform(0.4, 1, (4, 4)).repeat(8, 0).repeat(8, 1))
    with new_pictures(tmp_path) as pictures:
        pictures.add("a", panel, HeatScale())
    kept = Pictures(tmp_path / "pictures.zip")
    image, heat = (PIL.Image.open(io.BytesIO(one)) for one in kept.read(kept.names("a")))
    both = PIL.Image.alpha_composite(image.convert("RGBA"), heat.convert("RGBA")).convert("RGB")
    strength = HeatScale()(panel.heat)[..., None]
    grey, colour = rgb(panel.pixels), colormaps["inferno"](0.25 + 0.7 * strength[..., 0])[..., :3]
    expected = grey + 0.7 * strength * (colour - grey)
    assert over(grey, strength[..., 0]) == pytest.approx(expected)
    assert np.abs(np.asarray(both) - 255 * expected).mean() < 6


def test_an_image_without_unusual_heat_has_no_layer(tmp_path: Path) -> None:
    with new_pictures(tmp_path) as pictures:
        panel = Panel(np.zeros((1, 8, 8)), heat=np.full((8, 8), 0.5))
        pictures.add("a", panel, HeatScale(begins=0.5))
    assert len(Pictures(tmp_path / "pictures.zip").names("a")) == 1


def test_view_makes_the_page_anew_and_the_folder_stays_midclass_own(run: Path) -> None:
    first = view.run(run)
    view.run(run, pictures="none")
    assert first == run / "page.html"
    assert foreign(run) == ""


def test_view_replaces_no_page_that_was_changed_or_is_not_ours(run: Path, tmp_path: Path) -> None:
    folder = evaluation(tmp_path / "run", table())
    page = view.run(folder)
    page.write_bytes(page.read_bytes() + b"<!-- my remarks -->")
    with pytest.raises(InputError, match="was changed since midclass wrote it"):
        view.run(folder)
    assert page.read_bytes().endswith(b"<!-- my remarks -->")
    mine = tmp_path / "mine.html"
    mine.write_text("<p>mine")
    with pytest.raises(InputError, match="is no page that midclass wrote"):
        view.run(run, out=mine)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / "summary.json").write_text("{"), "cannot be read"),
        (lambda folder: (folder / "summary.json").write_text("[]"), "is a list"),
        (lambda folder: (folder / "summary.json").write_text("{}"), "has no field auroc"),
        (lambda folder: (folder / "summary.json").unlink(), "has no summary.json"),
        (lambda folder: (folder / "pictures.zip").write_bytes(b"PK"), "is no file of pictures"),
    ],
)
def test_a_damaged_folder_is_told_in_one_line(
    tmp_path: Path, spoil: Callable[[Path], object], said: str
) -> None:
    folder = evaluation(tmp_path / "run", table())
    spoil(folder)
    with pytest.raises(InputError, match=said):
        view.run(folder)


def test_an_evaluation_of_an_earlier_version_has_a_page_too(tmp_path: Path) -> None:
    folder = evaluation(tmp_path / "run", table())
    for name in ("run.json", "pictures.zip", "patients.csv"):
        (folder / name).unlink()
    assert "written by an earlier version" in html(Run.read(folder))


@pytest.mark.parametrize("kind", ["few", "equal", "none flagged", "one patient a class"])
def test_a_page_is_made_of_any_scores(kind: str) -> None:
    rng = np.random.default_rng(3)
    n = 8 if kind == "few" else 30
    label = np.arange(n) % 2
    score = label + (0.0 if kind == "equal" else rng.integers(0, 4, n) / 2)
    patients = [f"p{i % 2 if kind == 'one patient a class' else i}" for i in range(n)]
    p_value = {"p_value": (1 + rng.integers(0, 20, n)) / 21}
    threshold = 9.0 if kind == "none flagged" else 1.2
    scores = ScoreTable.of(np.arange(n), patients, label, score, threshold, "", p_value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of few patients
        figures = report(scores, 0.05) | {"detector": "d", "cohort": "c"}
    figures["promised"] = {"max_fpr": 0.05, "low": 0.0, "high": 1.0}
    text = html(Run(figures, {}, {}, scores))
    shown = re.sub(r"<script.*?</script>|<style.*?</style>", "", text, flags=re.S)
    assert not re.search(r"\bnan\b", shown)


@pytest.mark.parametrize(
    ("promised", "asked"),
    [
        ({"low": 0.0, "high": 1.0}, "Is the promise kept?"),
        ({"low": 0.0, "high": 0.4, "independent": 6.2, "needed": 19}, "Is the aim reached?"),
        ({"moved": 0.3}, "Is the aim reached?"),
    ],
)
def test_a_page_promises_only_what_is_promised(promised: dict[str, float], asked: str) -> None:
    scores = table()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        figures = report(scores, 0.05) | {"detector": "d", "cohort": "c"}
    figures["promised"] = {"max_fpr": 0.05} | promised
    text = html(Run(figures, {}, {}, scores))
    assert asked in text
    assert ("are promised to be flagged" in text) == (asked == "Is the promise kept?")
    assert ("count as 6 independent ones" in text) == ("independent" in promised)
    assert ("no promise" in text) == (asked == "Is the aim reached?")
    assert '<span class="sub">in use</span>' in text  # a row of what a flag means there


@pytest.mark.slow
def test_view_as_typed_says_where_the_page_is_and_refuses_in_one_line(tmp_path: Path) -> None:
    evaluation(tmp_path / "run", table())
    done = typed("view run --pictures none --out shown.html", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("page: shown.html (0.")
    assert (tmp_path / "shown.html").exists()
    refused = typed("view run --pictures most", tmp_path)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == "error: --pictures is 'most'; give some, all, none\n"


def test_what_view_cannot_use_is_named(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere: is no folder; give the folder"):
        view.run(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"no\.csv: no such score table"):
        view.run(run, nuisance=tmp_path / "no.csv")
    other = ScoreTable.of(["a"], ["p"], [0], [1.0], threshold=9.0, extra={"gain +1": [2.0]})
    other.write(tmp_path / "other.csv")
    with pytest.raises(InputError, match=r"its threshold is 9, that of the evaluation 1\.5"):
        view.run(run, nuisance=tmp_path / "other.csv")


def test_false_alarms_under_nuisance_are_on_the_page_where_they_were_computed(
    run: Path, tmp_path: Path, page: str
) -> None:
    scores = ScoreTable.of(
        [*"abcd"],
        [*"pqrs"],
        [0] * 4,
        [0, 1, 1, 1],
        threshold=1.5,
        extra={
            "blur_mm +1": [2, 1, 1, 1],
            "gain -1": [1, 1, 1, 1],
            "gain +1": [2, 2, 1, np.nan],
        },
    )
    scores.write(tmp_path / "nuisance.csv")
    text = html(Run.read(run, tmp_path / "nuisance.csv"))
    rows = dict(
        re.findall(r"<tr><td>(blur|gain)</td><td class=\"number\" data-value=\"(.*?)\">", text)
    )
    assert {name: float(rate) for name, rate in rows.items()} == {"blur": 0.25, "gain": 2 / 7}
    assert "nuisance" not in {attributes.get("id") for _, attributes in Parsed(page).elements}


def test_who_learns_no_knowledge_is_not_said_to_be_trained_on_it(
    tmp_path: Path,
) -> None:
    for number, learns in enumerate((True, False)):
        folder = evaluation(tmp_path / str(number), table(), about() | {"learns_knowledge": learns})
        shown = html(Run.read(folder))
        assert ("<td>trained on</td>" in shown) is learns
        assert ("What it knows of" in shown) is learns
        assert ("learns nothing of it" in shown) is not learns
