"""The command ``recipes``: the recipes that come with midclass, by the names that commands take."""

from __future__ import annotations

from midclass.cli.console import cell, new_table, say, show_table
from midclass.cli.voice import answer
from midclass.recipe.names import find, shipped
from midclass.recipe.recipe import Recipe

CONTROL = "_control"


def run(name: str | None = None) -> None:
    """Print a line for each recipe, and how many controls there are; or the file of one.

    Raises:
        InputError: there is none of that name.
    """
    if name is not None:
        text = find(name).read_text(encoding="utf-8")
        answer(name=name, text=text)
        for line in text.splitlines():
            say(line)
        return
    names, known = shipped(), []
    table = new_table()
    for column in ("recipe", "given class", "target class"):
        table.add_column(column, no_wrap=column == "recipe")
    for name in names:
        if not name.endswith(CONTROL):
            one = Recipe.load(name)
            table.add_row(name, cell(one.given_class), cell(one.target_class))
            about = {"given_class": one.given_class, "target_class": one.target_class}
            known.append({"name": name, **about, "summary": one.summary})
    show_table(table)
    controls = [name for name in names if name.endswith(CONTROL)]
    answer(recipes=known, controls=controls)
    say(f"and {len(controls)} controls without knowledge, such as {controls[0]}")
    say("one of your own: midclass recipes blank > mine.yaml, then midclass show mine.yaml")
