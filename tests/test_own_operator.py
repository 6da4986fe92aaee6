"""An operator of the user's own: one file outside the package, or a numpy function."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from makers import typed
from midclass import InputError, Recipe, check_operator, example_batch, per_image
from midclass.cli.app import app

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The examples, copied to where a user would have them."""
    for file in EXAMPLES.iterdir():
        if file.is_file():
            shutil.copy(file, tmp_path)
    text = (tmp_path / "cavity.yaml").read_text()
    (tmp_path / "my.yaml").write_text(f"{text}\nheld_out: {{}}\n")  # less to check
    return tmp_path


@pytest.mark.parametrize("operator", ["cavity.py:Cavity", "cavity_numpy.py:Cavity"])
def test_a_length_of_0_is_refused_of_one_s_own_operator_too(folder: Path, operator: str) -> None:
    file, _, _ = operator.partition(":")
    text = (folder / "my.yaml").read_text().replace("cavity.py:Cavity", operator)
    assert "diameter_mm: [12, 35]" in text
    (folder / "my.yaml").write_text(text)
    Recipe.load(folder / "my.yaml", [folder / file]).check()
    (folder / "my.yaml").write_text(text.replace("diameter_mm: [12, 35]", "diameter_mm: [0, 35]"))
    with pytest.raises(InputError, match=r"diameter_mm is \[0, 35\], expected a length above 0"):
        Recipe.load(folder / "my.yaml", [folder / file]).check()


@pytest.mark.slow
def test_an_operator_in_one_file_is_checked_and_shown(folder: Path) -> None:
    checked = typed("check my.yaml --trust cavity.py", folder)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "has shams without seams           ok" in checked.stdout
    assert "all promises are kept" in checked.stdout
    shown = typed("show my.yaml --trust cavity.py --n 1", folder)
    assert shown.returncode == 0, shown.stderr
    assert np.asarray(Image.open(folder / "sheet.png")).std() > 10


@pytest.mark.slow
def test_a_file_that_is_not_trusted_does_not_run(folder: Path) -> None:
    refused = typed("check my.yaml", folder)
    assert refused.returncode == 2
    assert "pass --trust cavity.py" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert not refused.stdout


def test_each_broken_promise_is_a_line_and_the_exit_code_1(folder: Path) -> None:
    file = folder / "cavity.py"
    in_samples = file.read_text().replace("* batch.spacing_mm.view(n, dims, *(1,) * dims)", "")
    file.write_text(in_samples.replace("Why:", "Because"))
    broken = CliRunner().invoke(app, ["check", str(folder / "my.yaml"), "--trust", str(file)])
    assert broken.exit_code == 1, broken.output
    lines = [line for line in broken.stdout.splitlines() if line.startswith("broken: ")]
    assert lines[0] == "broken: cavity has no docstring with 'Why: ...' and a source"
    assert lines[1].startswith("broken: cavity does not work in millimetres: at half the spacing")
    assert "2 promises are not kept" in broken.stdout


def test_an_operator_that_refuses_the_recipe_is_told_in_words(folder: Path) -> None:
    (folder / "coarse.yaml").write_text(
        "name: coarse\ngiven_class: normal\ntarget_class: cancer\n"
        "geometry: {view: roi, roi_mm: 200, size: [64, 64]}\nanatomy: anatomy.whole\n"
        "middle_classes:\n  specks: {operator: calcification.Calcification}\n"
    )
    result = CliRunner().invoke(app, ["check", str(folder / "coarse.yaml")])
    assert result.exit_code == 1, result.output
    assert "refused: specks: Calcification: a pixel of 3.12 mm cannot show" in result.stdout
    assert "broken" not in result.stdout


def test_operators_are_checked_on_samples_as_fine_as_the_files(tmp_path: Path) -> None:
    recipe = tmp_path / "layer.yaml"
    recipe.write_text(
        "name: layer\ngiven_class: normal\ntarget_class: cyst\n"
        "geometry: {size: [64, 96], spacing_mm: 0.01}\nanatomy: anatomy.whole\n"
        "middle_classes:\n  cyst: {operator: focal.Focal, why: Dark (one 2011)., "
        "diameter_mm: [0.1, 0.3], edge_mm: [0.01, 0.03]}\n"
    )
    said = CliRunner().invoke(app, ["check", str(recipe)]).stdout
    assert "generated images of 64 x 96 at 0.01 mm (spacing_mm of the files" in said
    assert "broken" not in said
    pixels = np.random.default_rng(0).integers(0, 256, (128, 192)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (tmp_path / "m.csv").write_text("path,label,patient_id,split\na.png,0,a,train\n")
    cohort = ["--cohort", str(tmp_path / "m.csv")]
    said = CliRunner().invoke(app, ["check", str(recipe), *cohort]).stdout
    assert "at 0.02 mm, as yours are" in said


@pytest.mark.parametrize("channels", [1, 3])
def test_a_numpy_function_keeps_the_contract(channels: int) -> None:
    path = EXAMPLES / "cavity_numpy.py"
    fields = Recipe.load(EXAMPLES / "cavity.yaml", [EXAMPLES / "cavity.py"]).to_dict()
    fields["middle_classes"]["cavity"]["operator"] = f"{path}:Cavity"
    recipe = Recipe.from_dict(fields, [path])
    cavity = recipe.operators()["cavity"]
    assert cavity.diameter_mm == (12.0, 35.0)  # type: ignore[attr-defined]
    check_operator(cavity, example_batch(2, channels=channels))


def bleached(
    image: NDArray[np.float32],
    anatomy: NDArray[np.bool_],
    spacing_mm: tuple[float, ...],
    rng: np.random.Generator,
    gain: tuple[float, float] = (1.1, 1.3),
) -> NDArray[np.float32]:
    """The upper half brighter. Why: none, it serves to test what becomes of a function (2024)."""
    image *= np.float32(rng.uniform(*gain))
    image[..., image.shape[-1] // 2 :] /= np.float32(gain[0])
    return image


def test_a_function_that_returns_an_image_is_marked_where_it_changed() -> None:
    batch = example_batch(n=3)
    before = batch.pixels.clone()
    operator = per_image(bleached)()
    params = operator.draw(batch, torch.Generator().manual_seed(0))
    middle = operator.apply(batch, params)
    assert torch.equal(batch.pixels, before)  # it writes into a copy
    inside = batch.anatomy & (middle.change == 1)
    changed = (middle.pixels - before).abs() > 1 / 255
    assert torch.equal(changed[inside], torch.ones_like(changed[inside]))
    last = operator.apply(batch[2:], {"seed": params["seed"][2:]})
    assert torch.equal(last.pixels[0], middle.pixels[2])


def test_a_function_of_another_form_is_refused() -> None:
    def cut(image, anatomy, spacing_mm, rng):  # type: ignore[no-untyped-def]
        return image[1:]

    with pytest.raises(
        InputError, match=r"Cut: the function returned an image of shape \(63, 64\)"
    ):
        per_image(cut)()(example_batch(), torch.Generator())
    with pytest.raises(TypeError, match="must begin with the parameters image, anatomy"):
        per_image(lambda image: image)
