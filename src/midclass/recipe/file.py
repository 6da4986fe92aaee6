"""Recipe files: reading YAML, and what ``extends`` takes over from another recipe."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from midclass.errors import InputError
from midclass.recipe.budget import IMAGENET
from midclass.recipe.names import find
from midclass.recipe.plain_yaml import read_yaml

LONGEST = 20
"""Recipes that extend each other, one by one."""


def read_fields(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The fields of a recipe file, those of the recipe that it extends included.

    Raises:
        InputError: not YAML, no mapping, a key given twice, or recipes that extend each other.
    """
    if len(seen) >= LONGEST:
        raise InputError(f"{path}: is the end of {len(seen)} extends; shorten the chain")
    if path.resolve() in seen:
        raise InputError(
            f"{path}: extends itself, by way of {len(seen)} recipes; remove one extends"
        )
    fields = parse_yaml(path)
    base = fields.pop("extends", None)
    if base is None:
        return fields
    if not isinstance(base, str):
        raise InputError(f"{path}: extends is {base!r}, expected the name or path of a recipe")
    try:
        base_path = find(base, path.parent)
    except InputError as error:
        raise InputError(f"{path}: extends: {error}") from error
    inherited = read_fields(base_path, (*seen, path.resolve()))
    old, new = base_path.parent, path.parent
    return {**with_files(inherited, lambda file: os.path.relpath(old / file, new)), **fields}


def parse_yaml(path: Path) -> dict[str, Any]:
    """The fields of a YAML file, read as YAML 1.2.

    Raises:
        InputError: not YAML, no mapping, a key given twice, or more than can be meant.
    """
    fields = read_yaml(path)
    if not isinstance(fields, dict):
        raise InputError(f"{path}: expected fields such as 'name: ...', see blank.yaml")
    return fields


def with_files(value: Any, change: Callable[[str], str]) -> Any:
    """The same values with each file that they name as ``change`` gives it.

    Files are those of ``file.py:Name``, and of weights, named in a field ``pretrained``.

    >>> with_files({"anatomy": "mine.py:lungs", "given_class": "normal"}, lambda file: f"my/{file}")
    {'anatomy': 'my/mine.py:lungs', 'given_class': 'normal'}
    """
    if isinstance(value, dict):
        return {
            key: change(inner)
            if key == "pretrained" and isinstance(inner, str) and inner not in ("", IMAGENET)
            else with_files(inner, change)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [with_files(inner, change) for inner in value]
    file, _, name = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    if file.endswith(".py") and " " not in name:
        return f"{change(file)}:{name}"
    return value


def without_folders(fields: Any) -> Any:
    """The same values with the names of files alone, for what is written.

    They are found again by their names; their folders are nobody's business.
    """
    return with_files(fields, lambda file: Path(file).name)
