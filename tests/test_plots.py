"""Pictures: what they show, not how they look."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from matplotlib.figure import Figure

from midclass import ScoreTable, report
from midclass.evaluation import plots
from midclass.evaluation.curves import roc_curve
from midclass.evaluation.heat import HeatScale
from midclass.evaluation.panel import Panel, overlay


def _panel(seed: int = 0, channels: int = 1, shape: tuple[int, int] = (24, 32)) -> Panel:
    rng = np.random.default_rng(seed)
    anatomy = np.zeros(shape, bool)
    anatomy[6:18, 8:24] = True
    return Panel(
        rng.random((channels, *shape)), anatomy, rng.random(shape), "severity 0.50", (2.0, 2.0)
    )


def _size(path: Path) -> tuple[int, int]:
    with PIL.Image.open(path) as image:
        return image.size


@pytest.mark.parametrize("threshold", [0.5, np.nan])
def test_a_roc_curve_is_drawn_with_and_without_an_operating_point(
    tmp_path: Path, threshold: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []
    save = Figure.savefig

    def spy(figure: Figure, path: Path, **options: object) -> None:
        drawn.extend(text.get_text() for text in figure.axes[0].texts)
        save(figure, path, **options)

    monkeypatch.setattr(Figure, "savefig", spy)
    label = np.repeat([0, 1], 20)
    score = np.random.default_rng(0).normal(label)
    names = [f"c{i}" for i in range(40)]
    table = ScoreTable.of(names, names, label, score, threshold=threshold)
    plots.roc(tmp_path / "roc.png", "title", table, report(table, 0.1))
    assert _size(tmp_path / "roc.png")[0] > 400
    assert any("AUROC 0." in text for text in drawn)
    assert any("sensitivity" in text for text in drawn) == (not np.isnan(threshold))


def test_the_curve_goes_from_corner_to_corner_and_leaves_unknown_cases_out() -> None:
    table = ScoreTable.of(list("abcde"), list("abcde"), [0, 0, 1, 1, -1], [0, 1, 1, 2, 9])
    false_alarms, found = roc_curve(table)
    assert false_alarms.tolist() == [0, 0, 0.5, 1]
    assert found.tolist() == [0, 0.5, 1, 1]


def test_a_group_without_examples_is_shown_as_none(tmp_path: Path) -> None:
    groups = {"hits": [_panel(0, 3), _panel(1)], "misses": [], "false alarms": [_panel(2)]}
    plots.heat_maps(tmp_path / "maps.png", "title", groups, HeatScale())
    assert _size(tmp_path / "maps.png")[0] > 500
    plots.heat_maps(tmp_path / "none.png", "title", {"hits": [], "misses": []}, HeatScale())
    assert (tmp_path / "none.png").exists()


def test_an_overlay_leaves_cold_pixels_as_they_are(tmp_path: Path) -> None:
    panel = _panel()
    heat = np.zeros((24, 32))
    heat[5, 7] = 1
    overlay(tmp_path / "o.png", Panel(panel.pixels, heat=heat), HeatScale())
    with PIL.Image.open(tmp_path / "o.png") as picture:
        small = np.asarray(picture)[:384][8::16, 8::16].astype(int)
    changed = np.abs(small[:, 1:31] - small[:, 33:63]).max(-1) > 2  # the seam is interpolated
    assert changed[5, 6]
    assert not changed[:, :5].any()
    assert not changed[:, 8:].any()


@pytest.mark.parametrize("about_mm", [0.3, 4, 17, 240])
def test_a_scale_bar_is_a_round_length_of_an_eighth_to_a_quarter(about_mm: float) -> None:
    axes = Figure().add_subplot()
    plots._scale_bar(axes, (64, 64), about_mm / 16)
    number = float(axes.texts[0].get_text().removesuffix(" mm"))
    assert number <= about_mm <= 2.5 * number + 1e-9
    ends = axes.lines[0].get_xdata()
    assert (ends[1] - ends[0]) * about_mm / 16 == pytest.approx(number)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are saved."""
    figures: list[Figure] = []
    monkeypatch.setattr(plots, "save", lambda figure, _: figures.append(figure))
    return figures


def test_images_have_their_outline_and_text_and_an_empty_group_says_so(
    tmp_path: Path, shown: list[Figure]
) -> None:
    groups = {"hits": [_panel(0), _panel(1)], "misses": []}
    plots.heat_maps(tmp_path / "x.png", "title", groups, HeatScale())
    (figure,) = shown
    image, heat = figure.axes[:2]
    assert len(image.collections) == 1  # the outline
    assert len(heat.collections) == 0
    assert image.get_title(loc="left") == "severity 0.50"
    assert [text.get_text() for text in figure.axes[4].texts] == ["none"]


@pytest.mark.parametrize("everywhere", [True, False])
def test_an_anatomy_that_is_everywhere_or_nowhere_has_no_outline(
    tmp_path: Path, shown: list[Figure], everywhere: bool
) -> None:
    panel = replace(_panel(), anatomy=np.full((24, 32), everywhere))
    plots.heat_maps(tmp_path / "x.png", "title", {"hits": [panel]}, HeatScale())
    assert len(shown[0].axes[0].collections) == 0


def test_the_line_of_a_roc_curve_is_the_curve_of_its_table(
    tmp_path: Path, shown: list[Figure]
) -> None:
    label = np.repeat([0, 1], 20)
    names = [f"c{i}" for i in range(40)]
    table = ScoreTable.of(names, names, label, np.random.default_rng(0).normal(label))
    plots.roc(tmp_path / "roc.png", "title", table, report(table, 0.1))
    chance, curve = shown[0].axes[0].lines[:2]
    assert chance.get_xydata().tolist() == [[0, 0], [1, 1]]
    np.testing.assert_allclose(curve.get_xydata().T, roc_curve(table))
    assert curve.get_linewidth() > chance.get_linewidth()
    assert tuple(shown[0].get_size_inches()) == (5.4, 5.4)


def test_colour_begins_at_the_scale_and_grows_from_there(tmp_path: Path) -> None:
    colours = {}
    for heat in (0.0, 0.89, 0.91, 0.97, 0.999, 1.0):
        panel = Panel(np.full((1, 24, 32), 0.2), heat=np.full((24, 32), heat))
        overlay(tmp_path / "o.png", panel, HeatScale(begins=0.9))
        with PIL.Image.open(tmp_path / "o.png") as image:
            plain, over = np.split(np.asarray(image, float)[:384], 2, axis=1)
        colours[heat] = np.abs(over - plain).mean()
    assert colours[0.0] == colours[0.89] == 0 < colours[0.91] < colours[0.97] < colours[0.999]
    assert colours[1.0] == colours[0.999]


def test_a_drawing_is_the_same_bytes_on_another_day(tmp_path: Path) -> None:
    figure = Figure((1, 1))
    for name in ("a.svg", "a.pdf"):
        plots.save(figure, tmp_path / name)
    assert b"<dc:date>" not in (tmp_path / "a.svg").read_bytes()
    assert b"/CreationDate" not in (tmp_path / "a.pdf").read_bytes()
