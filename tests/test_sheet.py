"""The contact sheet: what is chosen to be shown, what stands where, and in which formats."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import numpy as np
import PIL.Image
import pytest
import torch
from matplotlib.figure import Figure
from typer.testing import CliRunner

from midclass import InputError, Prepared, Recipe, prepare
from midclass.cli.app import app
from midclass.evaluation.panel import Panel
from midclass.preview import page, phantoms, sheet
from midclass.preview.page import Block, Strip
from midclass.recipe.names import shipped

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    fields = Recipe.load("phantoms").to_dict()
    return Recipe.from_dict({**fields, "geometry": {"size": [48, 48], "field_of_view_mm": 200}})


@pytest.fixture(scope="module")
def prepared(recipe: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    with phantoms.phantom_cohort(recipe, 12, 0) as cohort:
        return prepare(cohort, recipe, cache=tmp_path_factory.mktemp("cache"))


def severities(strip: Strip) -> list[float]:
    return [float(panel.text.removeprefix("severity ")) for panel in strip.panels]


def test_severity_rises_from_left_to_right(recipe: Recipe, prepared: Prepared) -> None:
    block = sheet.block(prepared, recipe, 4, 0, "phantoms")
    assert [strip.name for strip in block.strips] == ["mass", "spiculation", "foreign tissue"]
    assert [strip.kind.split(":")[0] for strip in block.strips] == ["middle class"] * 2 + [
        "held out"
    ]
    for strip in block.strips:
        assert len(strip.panels) == len(block.given) == 4
        assert severities(strip) == sorted(severities(strip))
        assert severities(strip)[0] >= recipe.floor
    assert severities(block.strips[0])[-1] > severities(block.strips[0])[0] + 0.15


def test_a_column_is_one_image_that_differs_only_where_it_is_marked(
    recipe: Recipe, prepared: Prepared
) -> None:
    block = sheet.block(prepared, recipe, 4, 0, "phantoms")
    for strip in block.strips:
        for given, made in zip(block.given, strip.panels, strict=True):
            assert made.heat is not None
            changed = np.abs(made.pixels - given.pixels).max(0) > 1e-6
            assert changed.any()
            assert not changed[made.heat == 0].any()


def test_the_same_seed_gives_the_same_sheet_and_another_seed_another(
    recipe: Recipe, prepared: Prepared
) -> None:
    strips = [sheet.block(prepared, recipe, 3, seed, "").strips[0] for seed in (0, 0, 1)]
    one, same, other = (np.stack([panel.pixels for panel in strip.panels]) for strip in strips)
    assert (one == same).all()
    assert (one != other).any()


def test_what_is_too_faint_to_train_on_is_shown_only_where_there_is_nothing_else() -> None:
    severity = np.array([[0.01, 0.01, 0.02], [0.02, 0.30, 0.03], [0.40, 0.50, 0.04]])
    chosen = sheet.rising(severity, floor=0.05)
    assert chosen[0] == 2
    assert severity[chosen, range(3)].tolist() == [0.40, 0.50, 0.04]


def test_a_single_image_is_shown_with_a_usual_severity() -> None:
    assert sheet.rising(np.array([[0.2], [0.9], [0.5]]), floor=0.05) == [2]


@pytest.mark.parametrize("seed", range(5))
def test_the_choice_rises_though_images_differ_in_what_they_can_show(seed: int) -> None:
    rng = np.random.default_rng(seed)
    severity = rng.random((24, 6)) * rng.uniform(0.5, 1.0, 6)
    chosen = severity[sheet.rising(severity, 0.05), range(6)]
    assert (np.diff(chosen) >= 0).all()
    assert chosen[0] < 0.2
    assert chosen[-1] > 0.4


def block(strips: int = 1, columns: int = 2, why: str = "Because.") -> Block:
    rng = np.random.default_rng(0)
    heat = np.zeros((24, 32))
    heat[8:16, 8:16] = 1
    given = [Panel(rng.random((1, 24, 32)), heat > 0, spacing_mm=(2.0, 2.0))] * columns
    made = [Panel(rng.random((1, 24, 32)), heat=heat, text="severity 0.50")] * columns
    return Block(
        "normal", "Phantoms", given, [Strip("mass", "held out", "a.B", why, made)] * strips
    )


def drawn(path: Path, blocks: list[Block], monkeypatch: pytest.MonkeyPatch) -> Figure:
    kept: list[Figure] = []
    save = Figure.savefig

    def spy(figure: Figure, path: Path, **options: object) -> None:
        kept.append(figure)
        save(figure, path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Figure, "savefig", spy)
        page.contact_sheet(path, "title", "summary", blocks)
    return kept[0]


def test_every_tile_has_its_place_and_every_class_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = [block(strips=2, columns=3), block(strips=1, columns=2)]
    figure = drawn(tmp_path / "new" / "s.png", blocks, monkeypatch)
    boxes = [axes.get_position() for axes in figure.axes]
    assert len(boxes) == 3 * 5 + 2 * 3
    for i, one in enumerate(boxes):
        assert one.x0 >= 0
        assert one.y0 >= 0
        assert one.x1 <= 1
        assert one.y1 <= 1
        apart = [
            one.x1 <= b.x0 or b.x1 <= one.x0 or one.y1 <= b.y0 or b.y1 <= one.y0
            for b in boxes[i + 1 :]
        ]
        assert all(apart)
    words = [text.get_text() for text in figure.texts]
    assert words.count("mass") == words.count("Because.") == 3
    bars = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert bars.count("10 mm") == 5  # one on each given-class image
    assert bars.count("severity 0.50") == 8


def test_a_long_reason_is_cut_and_never_runs_into_the_next_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = drawn(tmp_path / "s.png", [block(strips=2, why="word " * 500)], monkeypatch)
    cut = [text for text in figure.texts if text.get_text().endswith("…")]
    assert len(cut) == 2
    names = [text.get_position()[1] for text in figure.texts if text.get_text() == "mass"]
    assert cut[0].get_position()[1] > names[1]
    assert cut[1].get_position()[1] > 0


@pytest.mark.parametrize(
    ("suffix", "start"), [("svg", b"<?xml"), ("pdf", b"%PDF"), ("png", b"\x89PNG")]
)
def test_a_sheet_is_drawn_in_the_format_of_its_name(
    tmp_path: Path, suffix: str, start: bytes
) -> None:  # fmt: skip
    page.contact_sheet(tmp_path / f"s.{suffix}", "title", "", [block()])
    assert (tmp_path / f"s.{suffix}").read_bytes().startswith(start)


@pytest.mark.parametrize("name", ["sheet.gif", "sheet"])
def test_another_format_is_refused_before_any_work(tmp_path: Path, name: str) -> None:
    out = ["show", "phantoms", "--out", str(tmp_path / name)]
    result = CliRunner().invoke(app, out)
    assert result.exit_code == 2
    assert re.search(r"error: .*sheet.*: a sheet is drawn as one of \.png, \.svg", result.stderr)


@pytest.fixture(scope="module")
def documentation() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_sheets", ROOT / "docs" / "make_sheets.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_every_operator_of_the_package_can_be_shown(documentation: ModuleType) -> None:
    tasks = documentation.tasks()
    found = documentation.operators()
    assert {"focal.Focal", "composition.AllOf", "composition.Foci"} <= set(found)
    for reference, kind in found.items():
        home, entry = documentation.entry_of(reference, kind)
        assert home is None or home in tasks
        assert len(entry.why.split()) >= 10
        assert "`" not in entry.why
        shown = documentation.with_entries(Recipe.load(tasks[0]), {"it": entry})
        assert type(shown.operators()["it"]) is kind


def test_an_operator_that_an_image_cannot_show_is_not_shown_on_it(
    documentation: ModuleType, recipe: Recipe, prepared: Prepared
) -> None:
    _, entry = documentation.entry_of("focal.Focal", documentation.operators()["focal.Focal"])
    assert documentation.clarity(entry, recipe, prepared) > 0
    fine = entry.model_validate({"operator": "calcification.Calcification"})  # a pixel is 4 mm
    assert documentation.clarity(fine, recipe, prepared) < 0


def test_a_picture_for_the_documentation_is_made_small(
    documentation: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = torch.randint(256, (300, 300, 3), generator=torch.Generator().manual_seed(0))
    PIL.Image.fromarray(noise.byte().numpy()).save(tmp_path / "s.png")
    monkeypatch.setattr(documentation, "LARGEST", 100_000)
    documentation.shrink(tmp_path / "s.png")
    assert (tmp_path / "s.png").stat().st_size <= 100_000
    monkeypatch.setattr(documentation, "LARGEST", 100)
    with pytest.raises(InputError, match="no way below 100 bytes"):
        documentation.shrink(tmp_path / "s.png")


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.thorough] * name.endswith("_control"))
        for name in shipped()
        if name != "blank"
    ],
)
def test_every_shipped_recipe_can_be_shown_on_phantoms(name: str, tmp_path: Path) -> None:
    recipe = phantoms.for_phantoms(Recipe.load(name))
    with phantoms.phantom_cohort(recipe, 6, 0) as cohort:
        prepared = prepare(cohort, recipe, cache=tmp_path)
    assert prepared.assessable.sum() >= 2
