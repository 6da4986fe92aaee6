"""Contact sheets for the documentation, from phantoms alone; run by `make sheets`.

One for each shipped recipe, and ``operators_RECIPE.png`` with every operator of the package: on the
phantoms of the first recipe that uses it, else of its home, else of the recipe whose phantoms show
it most clearly.
Recipes and operators are found; there is no list to keep.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory

import PIL.Image
import PIL.ImageOps
import torch

import midclass.knowledge
from midclass import InputError, Knowledge, Prepared, Recipe
from midclass.cli.commands import show
from midclass.cli.commands.source import prepared_with_bar
from midclass.cli.options import Options
from midclass.preview import page, sheet
from midclass.preview.phantoms import for_phantoms, phantom_cohort, words_of_phantoms
from midclass.recipe.entry import Entry
from midclass.recipe.names import shipped

FOLDER = Path(__file__).parent / "sheets"
COLUMNS, SEED, SPARE = 4, 0, 6
LARGEST = 400_000  # bytes of a picture
HOMES = {
    "territory.InfarctTerritory": "stroke_ct",
    "filling.Filling": "head_ct",
    "resize.Resize": "fundus",
    "composition.AllOf": "mammography",
    "composition.OneOf": "chest_xray",
}
"""What no recipe of a task uses, and belongs into one organ: the clearest would fill an eye."""


def tasks() -> list[str]:
    """The shipped recipes that are neither a control nor the template."""
    return [name for name in shipped() if not name.endswith("_control") and name != "blank"]


def operators() -> dict[str, type[Knowledge]]:
    """All classes of knowledge in the package, by ``module.Class``."""
    found = {}
    for module in pkgutil.iter_modules(midclass.knowledge.__path__):
        loaded = importlib.import_module(f"midclass.knowledge.{module.name}")
        for name, item in inspect.getmembers(loaded, inspect.isclass):
            own = item.__module__ == loaded.__name__
            if own and issubclass(item, Knowledge) and not inspect.isabstract(item):
                found[f"{module.name}.{name}"] = item
    return found


def uses() -> Iterator[tuple[str, type[Knowledge], Entry]]:
    """Recipe, class and entry of all shipped middle classes: tasks, then controls, then blank."""
    for name in sorted(shipped(), key=lambda name: (name == "blank", name not in tasks(), name)):
        recipe = Recipe.load(name)
        for entries, built in (
            (recipe.middle_classes, recipe.operators()),
            (recipe.held_out, recipe.held_out_operators()),
        ):
            for key, entry in entries.items():
                yield name, type(built[key]), entry


def entry_of(reference: str, kind: type[Knowledge]) -> tuple[str | None, Entry]:
    """The recipe at home with an operator, None where there is none, and how it is written.

    Its reason is that of its docstring, without markup.
    """
    home, entry = next(
        ((name, entry) for name, used, entry in uses() if used is kind),
        ("", Entry(operator=reference)),
    )
    home = home.removesuffix("_control")
    why = " ".join((kind.__doc__ or "").partition("Why:")[2].partition("Args:")[0].split())
    why = why.replace("``", "")
    return home if home in tasks() else HOMES.get(reference), entry.model_copy(
        update={"why": why[:1].upper() + why[1:]}
    )


def with_entries(recipe: Recipe, entries: dict[str, Entry]) -> Recipe:
    """The recipe with other middle classes, and nothing held out."""
    written = {name: entry.model_dump() for name, entry in entries.items()}
    return Recipe.from_dict({**recipe.to_dict(), "middle_classes": written, "held_out": {}})


def clarity(entry: Entry, recipe: Recipe, prepared: Prepared) -> float:
    """Median severity on the recipe's phantoms; below 0 where the operator refuses them."""
    knowledge = with_entries(recipe, {"it": entry}).operators()["it"]
    batch = prepared.batch(prepared.assessable.nonzero()[0])
    try:
        return float(knowledge(batch, torch.Generator().manual_seed(SEED)).severity.median())
    except InputError:
        return -1.0


def all_operators(columns: int = COLUMNS) -> dict[str, page.Block]:
    """Every operator once, by the recipe on whose phantoms it is shown."""
    recipes = {name: for_phantoms(Recipe.load(name)) for name in tasks()}
    with ExitStack() as stack:
        prepared = {name: phantoms_of(recipe, columns, stack) for name, recipe in recipes.items()}
        shown: dict[str, dict[str, Entry]] = {name: {} for name in recipes}
        for reference, kind in operators().items():
            home, entry = entry_of(reference, kind)
            best = home or max(recipes, key=lambda n: clarity(entry, recipes[n], prepared[n]))
            shown[best][kind.__name__] = entry
        return {
            name: sheet.block(
                prepared[name],
                with_entries(recipes[name], entries),
                columns,
                SEED,
                words_of_phantoms(recipes[name]),
            )
            for name, entries in shown.items()
            if entries
        }


def phantoms_of(recipe: Recipe, columns: int, stack: ExitStack) -> Prepared:
    """Phantoms of a recipe, until the stack is closed."""
    cohort = stack.enter_context(phantom_cohort(recipe, SPARE * columns, SEED))
    options = Options(cache=cohort.cases[0].path.parent / "cache")
    return prepared_with_bar(cohort, recipe, options)


def shrink(path: Path) -> None:
    """Save with fewer shades (grain does not compress), then fewer pixels, until small enough."""
    with PIL.Image.open(path) as opened:
        picture = opened.convert("RGB")
    for scale, bits in product((1.0, 0.85, 0.7, 0.6, 0.5), (6, 5)):
        size = round(picture.width * scale), round(picture.height * scale)
        smaller = PIL.ImageOps.posterize(picture.resize(size, PIL.Image.Resampling.LANCZOS), bits)
        smaller.save(path, optimize=True)
        if path.stat().st_size <= LARGEST:
            return
    raise InputError(f"{path}: no way below {LARGEST} bytes; show fewer columns")


def main() -> None:
    """Write all sheets: the old ones stay until all new ones are there."""
    with TemporaryDirectory(dir=FOLDER.parent) as scratch:
        draw(Path(scratch))
        for old in FOLDER.glob("*.png"):
            old.unlink()
        for picture in Path(scratch).glob("*.png"):
            picture.rename(FOLDER / picture.name)


def draw(folder: Path) -> None:
    """All sheets, small enough."""
    for name in tasks():
        show.run(
            name, None, Options(overwrite=True), out=folder / f"{name}.png", n=COLUMNS, seed=SEED
        )
    for name, block in all_operators().items():
        summary = f"Operators of midclass.knowledge on the phantoms of {name}, and why they hold."
        page.contact_sheet(
            folder / f"operators_{name}.png", "Knowledge operators", summary, [block]
        )
    for picture in folder.glob("*.png"):
        shrink(picture)


if __name__ == "__main__":
    main()
