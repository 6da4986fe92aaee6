"""The law of anatomies on real images: what middle classes and nuisance do to an anatomy.

    python tools/anatomy/law.py ../shared/data --page docs/anatomy.md
    python tools/anatomy/law.py ../shared/data --images 20 --only transfer/fundus

For each collection images of the given class are drawn with a fixed seed, every middle class of
the recipe is put in, and every part of the nuisance goes to either end of its range. The table
gives the lowest mean Dice overlap of each kind, and the least mean share of a lesion that is held;
the law asks for .95, .90 and .80.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from midclass import Cohort, Recipe
from midclass.images.rules import Rules
from midclass.testing import Overlap, anatomy_overlaps

COLLECTIONS = {
    "transfer/head_ct": "head_ct",
    "transfer/chest_ct": "chest_ct",
    "transfer/brain_mr": "brain_mr",
    "transfer/fundus": "fundus",
    "ct_ich": "head_ct",
    "kermany_cxr": "chest_xray",
    "mini_mias": "mammography",
    "breastmnist": "breast_ultrasound",
}
"""Folder of the development data -> recipe."""


def images(folder: Path, recipe: Recipe, n: int) -> Iterator[tuple[NDArray[np.float32], tuple]]:  # type: ignore[type-arg]
    """Images of the given class as the recipe's anatomy sees them."""
    cohort = Cohort.from_manifest(folder / "manifest.csv")
    given = [row for row, case in enumerate(cohort) if case.label == 0]
    chosen = np.random.default_rng(0).permutation(given)[:n].tolist()
    rules = Rules(recipe)
    for row in chosen:
        pixels, spacing, _ = rules.seen_by_anatomy(cohort[row], cohort.read(row))
        yield pixels, spacing


def lowest(found: list[Overlap], *, of_disease: bool) -> str:
    """The change that moves an anatomy most, with the mean overlap that is left."""
    worst = min((o for o in found if o.of_disease == of_disease), key=lambda o: o.dice.mean())
    return f"{worst.dice.mean():.3f} ({worst.name}){'' if worst.stays else ', **broken**'}"


def least_held(found: list[Overlap]) -> str:
    """The lesion of which the anatomy holds least, with the mean share."""
    counted = [one for one in found if len(one.held)]
    if not counted:
        return "none to count"
    worst = min(counted, key=lambda one: one.held.mean())
    return f"{worst.held.mean():.2f} ({worst.name}){'' if worst.holds else ', **broken**'}"


def row(data: Path, collection: str, n: int) -> str:
    """One row of the table; every change is printed meanwhile."""
    recipe = Recipe.load(COLLECTIONS[collection])
    shown = list(images(data / collection, recipe, n))
    found = anatomy_overlaps(
        recipe.anatomy_function(), shown, recipe.operators(), recipe.nuisance_operator()
    )
    for one in found:
        held = f", held {one.held.mean():.2f}" if len(one.held) else ""
        print(
            f"  {collection} {one.name}: {one.dice.mean():.3f}, lowest {one.dice.min():.3f}{held}"
        )
    anatomy = ", ".join(recipe.anatomies)
    cells = (
        collection,
        f"`{recipe.name}`",
        f"`{anatomy}`",
        f"{len(found[0].dice)} of {len(shown)}",
    )
    lowests = (lowest(found, of_disease=True), lowest(found, of_disease=False))
    rest = (*lowests, least_held(found))
    return "| " + " | ".join((*cells, *rest)) + " |"


def main() -> None:
    """Print the table, and put it into a page between its markers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--only", choices=list(COLLECTIONS), nargs="*", default=list(COLLECTIONS))
    parser.add_argument("--page", type=Path)
    options = parser.parse_args()
    rows = [row(options.data, name, options.images) for name in options.only]
    names = ("collection", "recipe", "anatomy", "found in")
    lowests = ("lowest, middle class", "lowest, nuisance", "least of a lesion held")
    head = "| " + " | ".join(names + lowests) + " |"
    table = "\n".join([head, "|---" * len(names + lowests) + "|", *rows])
    print(table)
    if options.page is not None:
        text = options.page.read_text()
        before, rest = text.split("<!-- law: begin -->\n")
        after = rest.split("<!-- law: end -->")[1]
        options.page.write_text(f"{before}<!-- law: begin -->\n{table}\n<!-- law: end -->{after}")


if __name__ == "__main__":
    main()
