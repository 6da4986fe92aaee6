"""Recipes: what ships resolves, mistakes are named in one line, user code runs only if trusted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from makers import NAMES
from midclass import InputError, Recipe
from midclass.knowledge.nuisance import Nuisance
from midclass.recipe.budget import Budget
from midclass.recipe.entry import Entry
from midclass.recipe.names import SHIPPED, shipped
from midclass.recipe.parts import Geometry, Intensity

CONTROLS = [name for name in shipped() if name.endswith("_control")]

BASE = (
    NAMES
    + """\
middle_classes:
  mass: {operator: focal.Focal, diameter_mm: [5, 30]}
"""
)


def written(folder: Path, text: str, name: str = "my.yaml") -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def refused(folder: Path, text: str) -> str:
    """The one line with which a recipe is refused; the file's name is cut off."""
    file = written(folder, text)
    with pytest.raises(InputError) as caught:
        Recipe.load(file).check()
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(file))
    return message.removeprefix(str(file))


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_recipe_resolves_and_survives_json(name: str) -> None:
    recipe = Recipe.load(name)
    recipe.check()
    again = Recipe.from_dict(json.loads(json.dumps(recipe.to_dict())))
    assert recipe.name == name
    assert again.to_dict() == recipe.to_dict()
    assert again.operators() == recipe.operators()


@pytest.mark.parametrize("name", sorted(set(shipped()) - set(CONTROLS) - {"blank"}))
def test_every_middle_class_of_a_shipped_recipe_says_why(name: str) -> None:
    recipe = Recipe.load(name)
    for one in (*recipe.middle_classes.values(), *recipe.held_out.values()):
        parts = one.all_of or one.one_of or (one,)
        assert all(part.why for part in parts)
    assert recipe.summary
    assert f"{name}_control" in CONTROLS


@pytest.mark.parametrize("name", CONTROLS)
def test_a_control_differs_from_its_recipe_in_the_operators_alone(name: str) -> None:
    control = Recipe.load(name).to_dict()
    recipe = Recipe.load(name.removesuffix("_control")).to_dict()
    different = {field for field in recipe if recipe[field] != control[field]}
    assert different == {"name", "summary", "middle_classes", "held_out"}


def test_the_blank_recipe_states_every_field_with_its_default() -> None:
    given = yaml.safe_load((SHIPPED / "blank.yaml").read_text())
    assert set(given) == set(Recipe.model_fields)
    assert set(given["geometry"]) == set(Geometry.model_fields)
    assert set(given["intensity"]) == set(Intensity.model_fields)
    assert set(given["budget"]) == set(Budget.model_fields)
    assert set(given["nuisance"]) == set(vars(Nuisance()))
    explained = {field for one in given["middle_classes"].values() for field in one}
    assert explained > set(Entry.model_fields)
    recipe = Recipe.load("blank")
    required = {
        name: getattr(recipe, name)
        for name in ("name", "given_class", "target_class", "anatomy", "middle_classes")
    }
    plain = Recipe.from_dict({**required, "geometry": {"size": [128, 128]}})
    assert plain.to_dict() == {**recipe.to_dict(), "nuisance": {}}
    assert recipe.nuisance_operator() == plain.nuisance_operator() == Nuisance()


def test_reading_a_recipe_needs_no_torch() -> None:
    code = "import sys, midclass; midclass.Recipe.load('head_ct'); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_nuisance_of_null_is_none(tmp_path: Path) -> None:
    assert Recipe.load(written(tmp_path, BASE + "nuisance: null")).nuisance_operator() is None


def test_an_unknown_recipe_lists_the_shipped_ones() -> None:
    with pytest.raises(InputError, match=r"did you mean 'chest_xray'.*head_ct, .*\.yaml"):
        Recipe.load("chest_xry")
    with pytest.raises(InputError, match=r"no\.yaml: no such recipe file"):
        Recipe.load("no.yaml")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("[64, 64]", "[64, 8]"), ": geometry: size must be [height, width] with 16 to 4096"),
        (("[64, 64]", "[64]"), ": geometry.size[1] is missing"),
        (("{size", "{roi: 3, size"), ": geometry: no field 'roi' (did you mean 'roi_mm'?); the"),
        (("{size", "{view: roi, size"), ": geometry: view roi needs roi_mm"),
        (("{size", "{spacing_mm: 1, field_of_view_mm: 9, size"), ": geometry: give spacing_mm or"),
        (("{size", "{margin: .nan, size"), ": geometry.margin is nan: "),
        (("given_class: normal", ""), ": given_class is missing; blank.yaml explains"),
        (("given_class: normal", "given: n"), " (and 1 more mistakes)"),
        (("mass:", "given:"), ": a middle class cannot be called 'given'"),
        (("  mass: {", "  # {"), ": middle_classes is None: "),
        (("[5, 30]", "[30, 5]"), ": middle_classes.mass.diameter_mm is [30, 5], expected [low"),
        (("[5, 30]", "[0, 5]"), ": middle_classes.mass.diameter_mm is [0, 5], expected a length"),
        (
            ("[5, 30]", "[5, 30], centre_jitter_mm: -1"),
            ".centre_jitter_mm is -1, expected a length",
        ),
        (("[5, 30]", "[5, .inf]"), ".diameter_mm is [5, inf], expected finite numbers"),
        (("[5, 30]", "[5]"), ": middle_classes.mass.diameter_mm is [5]: Field required"),
        (("[5, 30]", "wide"), ": middle_classes.mass.diameter_mm is 'wide': "),
        (("diameter_mm", "diametr_mm"), "no argument 'diametr_mm' (did you mean 'diameter_mm'?)"),
        (
            ("diameter_mm", "radius"),
            ": middle_classes.mass: no argument 'radius'; Focal has sign, ",
        ),
        (("focal.Focal", "focl.Focal"), "no module 'focl' (did you mean 'focal'?)"),
        (("focal.Focal", "focal.Foca"), "no 'Foca' in midclass.knowledge.focal; it has Focal"),
        (("focal.Focal", "Focal"), "'Focal' is no module.Name of midclass.knowledge"),
        (("focal.Focal", "no_such_pkg.x:Y"), "pass --trust no_such_pkg.x"),
        (("focal.Focal", "nuisance.Nuisance"), "nuisance.Nuisance is no class derived from"),
        (("focal.Focal", "base.Knowledge"), "base.Knowledge leaves draw or render open"),
        (("anatomy.whole", "anatomy.lung"), ": anatomy: no 'lung' in midclass.images.anatomy"),
        (("anatomy.whole", "anatomy.base"), ": anatomy: anatomy.base is no function"),
        (("given_class: normal", "name: twice"), ", line 3: is not YAML: 'name' twice"),
        (("given_class: normal", "{"), "is not YAML: "),
        ((BASE, "- a list"), ": expected fields such as 'name: ...'"),
    ],
)
def test_a_mistake_is_named_in_one_line(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    assert change[0] in BASE
    assert message in refused(tmp_path, BASE.replace(*change))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("budgt: {}", ": no field 'budgt' (did you mean 'budget'?); the fields are name, "),
        ("budget: {steps: 0}", ": budget.steps is 0: Input should be greater than 0"),
        ("budget: {stepz: 9}", ": budget: no field 'stepz' (did you mean 'steps'?)"),
        ("nuisance: {blur: 1}", ": nuisance: no argument 'blur'"),
        ("intensity: {low: 9, high: 3}", ": intensity: low 9 must be below high 3"),
        ("intensity: {window: [80, 0]}", ": intensity: window must be [low, high]"),
        ("held_out: {a: {operator: focal.Focal, diameter_mm: [5, 30]}}", "held_out.a is also a"),
        ("extends: my.yaml", ": extends itself, by way of 1 recipe"),
        ("extends: 3", ": extends is 3, expected the name or path"),
        ("extends: chest", ": extends: no recipe 'chest'"),
    ],
)
def test_a_mistake_in_an_optional_field_is_named_in_one_line(
    tmp_path: Path, more: str, message: str
) -> None:
    assert message in refused(tmp_path, BASE + more)


def test_a_recipe_takes_over_what_it_does_not_replace(tmp_path: Path) -> None:
    file = written(tmp_path, "extends: chest_xray\nname: adult\ngeometry: {size: [256, 256]}\n")
    recipe, chest = Recipe.load(file), Recipe.load("chest_xray")
    assert (recipe.name, recipe.geometry.size, recipe.anatomy) == (
        "adult",
        (256, 256),
        "anatomy.lungs",
    )
    assert recipe.geometry.field_of_view_mm is None  # a field is replaced as a whole
    assert recipe.operators() == chest.operators()


USER_FILE = """
from dataclasses import dataclass
from midclass.knowledge.focal import Focal

@dataclass(frozen=True)
class Nodule(Focal):
    hardness: float = 1.0

def left_half(pixels, spacing_mm):
    mask = pixels[0] < 0
    mask[:, : mask.shape[1] // 2] = True
    return mask
"""


def test_a_users_file_runs_only_when_it_is_trusted(tmp_path: Path) -> None:
    code = written(tmp_path, USER_FILE, "own.py")
    file = written(tmp_path, BASE.replace("focal.Focal", "own.py:Nodule, hardness: 2"))
    with pytest.raises(InputError, match=r"middle_classes\.mass: .*pass --trust .*own\.py"):
        Recipe.load(file).check()
    nodule = Recipe.load(file, trust=[code]).operators()["mass"]
    assert (nodule.hardness, nodule.diameter_mm) == (2.0, (5.0, 30.0))  # type: ignore[attr-defined]


def test_a_users_file_is_found_from_a_recipe_elsewhere_that_extends_its_own(tmp_path: Path) -> None:
    code = written(tmp_path, USER_FILE, "own.py")
    written(tmp_path, BASE.replace("anatomy.whole", "own.py:left_half"))
    child = written(tmp_path, "extends: ../my.yaml\nname: child\n", "below/child.yaml")
    mask = Recipe.load(child, trust=[code]).anatomy_function()(np.ones((1, 4, 4)), (1.0, 1.0))
    assert mask.sum() == 8


def test_a_users_file_that_fails_is_named_in_one_line(tmp_path: Path) -> None:
    code = written(tmp_path, "raise RuntimeError('two\\nlines')", "own.py")
    file = written(tmp_path, BASE.replace("focal.Focal", "own.py:Nodule"))
    with pytest.raises(InputError, match=r"own\.py cannot be run: RuntimeError: two lines$"):
        Recipe.load(file, trust=[code]).check()
    code.unlink()
    with pytest.raises(InputError, match=r"no such file .*own\.py"):
        Recipe.load(file, trust=[code]).check()
