"""The worst outlines are the missing and the strange ones, and what is said of them is right."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from makers import recipe
from midclass import Cohort, Prepared, prepare, prepare_array
from midclass.cli.app import app
from midclass.images import phantoms
from midclass.preview.advice import advice
from midclass.preview.page import outline_sheet
from midclass.preview.plausibility import FAR, in_words, panels, plausibility


def with_masks(masks: NDArray[np.bool_], spacing_mm: float = 1.0) -> Prepared:
    """Samples of 32 px with these masks ``(n, 32, 32)``, each of a patient of its own."""
    images = np.random.default_rng(1).random((len(masks), 1, 32, 32))
    prepared = prepare_array(images, recipe(), spacing_mm)
    store = replace(prepared.store, anatomy=masks[:, None], covered=masks.sum((1, 2)))
    return replace(prepared, store=store)


@pytest.fixture
def masks() -> NDArray[np.bool_]:
    """Boxes of about 16 x 12 px in the middle."""
    rng = np.random.default_rng(0)
    found = np.zeros((30, 32, 32), bool)
    for mask in found:
        top, left = rng.integers(8, 10), rng.integers(9, 11)
        mask[top : top + rng.integers(15, 17), left : left + rng.integers(11, 13)] = True
    return found


def test_a_case_without_anatomy_comes_first_and_counts(masks: NDArray[np.bool_]) -> None:
    masks[17] = False
    masks[4] = False
    found = plausibility(with_masks(masks))
    assert [one["row"] for one in found["worst"][:2]] == [4, 17]
    assert {one["reason"] for one in found["worst"][:2]} == {"no anatomy"}
    assert (found["images"], found["missing"]) == (30, 2)
    assert found["found"]["value"] == pytest.approx(28 / 30)
    assert 0.7 < found["found"]["low"] < 28 / 30 < found["found"]["high"] <= 1
    assert "in 2 of 30 images no anatomy was found: look at x.png" in in_words(found, "x.png")


@pytest.mark.parametrize(
    ("move", "feature", "words"),
    [((-8, 0), "centre_y", "lies higher"), ((0, 8), "centre_x", "lies further right")],
)
def test_a_mask_moved_aside_is_worse_than_the_others(
    masks: NDArray[np.bool_], move: tuple[int, int], feature: str, words: str
) -> None:
    masks[11] = False
    masks[11, 8:24, 10:22] = True
    masks[11] = np.roll(masks[11], move, (0, 1))
    found = plausibility(with_masks(masks))
    worst = found["worst"][0]
    assert (worst["row"], worst["feature"]) == (11, feature)
    assert worst["reason"].startswith(f"{words}: {feature}")
    assert worst["far"] > FAR
    assert found["strange"] == 1
    said = in_words(found | {"function": "anatomy.foreground"}, "x.png")
    assert f"in 1 of 30 it is unlike the others ({feature})" in said
    assert "or use anatomy.whole;" in said


def test_specks_beside_the_anatomy_are_strange(masks: NDArray[np.bool_]) -> None:
    masks[3, 1:3, 1:3] = masks[3, 28:30, 28:30] = True
    worst = plausibility(with_masks(masks))["worst"][0]
    assert worst["row"] == 3
    assert worst["feature"] in ("parts", "largest_part", "height", "width", "solidity")


def test_usual_outlines_need_no_change_and_the_share_is_not_called_certain(
    masks: NDArray[np.bool_],
) -> None:
    found = plausibility(with_masks(masks))
    assert (found["missing"], found["strange"], in_words(found, "x.png")) == (0, 0, "")
    assert found["found"]["value"] == found["found"]["high"] == 1
    assert found["found"]["low"] == pytest.approx(0.025 ** (1 / 30))
    far = [one["far"] for one in found["worst"]]
    assert far == sorted(far, reverse=True)
    assert len(far) == 12


def test_a_foreground_that_is_a_box_is_told_with_the_anatomy_for_white_backgrounds() -> None:
    """Scans on paper: foreground takes the rectangle around the body, which is unlike no other."""
    y, x = np.mgrid[-1:1:32j, -1:1:32j]
    body = np.hypot(y, x / 0.8) < 0.8
    box = np.zeros_like(body)
    box[3:29, 6:26] = True
    for mask, boxes in ((body, 0), (box, 30)):
        found = plausibility(with_masks(np.repeat(mask[None], 30, axis=0)))
        assert found["boxes"] == boxes
        for function in ("anatomy.foreground", "anatomy.on_white"):
            said = in_words(found | {"function": function}, "x.png")
            told = "in 30 of 30 it is a plain box" in said and "use anatomy.on_white" in said
            assert told == (boxes > 0 and function == "anatomy.foreground")
            nothing = {"none": 0.0, "little": 0.0, "least_mm2": 0.0, "function": function}
            figures = {"classes": {}, "pairs": [], "nuisance": None, "anatomy": found | nothing}
            assert any("plain box" in line for line in advice(figures)) == told


def test_the_whole_image_and_no_anatomy_at_all_are_no_error(masks: NDArray[np.bool_]) -> None:
    whole = plausibility(with_masks(np.ones_like(masks)))
    assert {one["reason"] for one in whole["worst"]} == {"as usual"}
    none = plausibility(with_masks(np.zeros_like(masks)))
    assert (none["missing"], len(none["worst"]), none["medians"]) == (30, 12, {})
    assert none["found"]["value"] == 0 < none["found"]["high"] < 0.2
    json.dumps([whole, none], allow_nan=False)


def test_of_many_without_anatomy_half_of_the_list_is_left_for_others(
    masks: NDArray[np.bool_],
) -> None:
    masks[:20] = False
    worst = plausibility(with_masks(masks))["worst"]
    assert [one["far"] is None for one in worst] == [True] * 6 + [False] * 6
    masks[:27] = False
    worst = plausibility(with_masks(masks))["worst"]
    assert [one["far"] is None for one in worst] == [True] * 9 + [False] * 3


def test_an_anatomy_of_the_usual_share_but_half_the_size_in_mm_is_strange(
    masks: NDArray[np.bool_],
) -> None:
    prepared = with_masks(masks)
    spacing = prepared.store.spacing_mm * np.linspace(0.98, 1.02, 30)[:, None]
    spacing[8] = 0.4
    store = replace(prepared.store, spacing_mm=spacing.astype(np.float32))
    worst = plausibility(replace(prepared, store=store))["worst"][0]
    assert (worst["row"], worst["feature"]) == (8, "size")
    area = int(masks[8].sum() * 0.4**2 + 0.5)
    assert worst["reason"].startswith(f"covers less in mm: {area}, usually ")


def test_the_picture_shows_what_the_recipe_blanks_and_stands_in_the_order_of_the_list(
    tmp_path: Path,
) -> None:
    phantoms.write(tmp_path / "data", "breast", 0, 20, 1, size=48)
    geometry = {"size": [48, 48], "field_of_view_mm": 200, "outside": "blank"}
    blank = recipe(geometry=geometry, anatomy="anatomy.foreground")
    cohort = Cohort.from_manifest(tmp_path / "data" / "manifest.csv").part("train")
    prepared = prepare(cohort, blank, cache=tmp_path / "cache")
    worst = plausibility(prepared)["worst"]
    shown = panels(prepared, worst, blank, tmp_path / "cache")
    assert [panel.text.split("\n")[0] for panel in shown] == [one["case_id"] for one in worst]
    for panel, one in zip(shown, worst, strict=True):
        mask = prepared.masks([one["row"]])[0, 0]
        assert panel.anatomy is not None
        assert (panel.anatomy == mask).all()
        assert panel.pixels[0][~mask].any(), "the dark background has noise"
        assert not prepared.images([one["row"]])[0, 0][~mask].any()
    outline_sheet(tmp_path / "outlines.png", "title", "summary", shown[:5])
    few = PIL.Image.open(tmp_path / "outlines.png").size
    outline_sheet(tmp_path / "outlines.png", "title", "summary", shown)
    assert PIL.Image.open(tmp_path / "outlines.png").size > few


def test_where_the_audit_cannot_go_on_the_outlines_say_why(tmp_path: Path) -> None:
    phantoms.write(tmp_path / "data", "breast", 0, 24, 1, size=48)
    code = "def none(pixels, spacing_mm):\n    return pixels[0] > 2\n"
    (tmp_path / "own.py").write_text(code)
    text = "extends: phantoms\nname: own\ngeometry: {size: [48, 48]}\nanatomy: own.py:none\n"
    (tmp_path / "own.yaml").write_text(text)
    arguments = [
        "audit",
        str(tmp_path / "own.yaml"),
        f"--cohort={tmp_path / 'data' / 'manifest.csv'}",
        f"--cache={tmp_path / 'cache'}",
        f"--trust={tmp_path / 'own.py'}",
        f"--out={tmp_path / 'a.json'}",
    ]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code != 0
    said = str(result.exception) + result.output
    assert "in 24 of 24 images no anatomy was found: look at" in said
    assert (tmp_path / "a.outlines.png").exists()
    assert "change --outlines" in CliRunner().invoke(app, [*arguments, "--outlines=x.jso"]).output
