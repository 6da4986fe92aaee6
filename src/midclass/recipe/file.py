"""Recipe files: finding and reading YAML, and what ``extends`` takes over from another recipe."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any

import yaml

from midclass.errors import InputError
from midclass.recipe.budget import IMAGENET
from midclass.recipe.resolve import did_you_mean

SHIPPED = Path(__file__).parent / "shipped"
SUFFIXES = (".yaml", ".yml")


def shipped() -> list[str]:
    """The names of the recipes that come with midclass.

    >>> "chest_xray" in shipped()
    True
    """
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def find(name_or_path: str | Path, folder: Path = Path()) -> Path:
    """The file of a shipped name or of a path, relative to a folder.

    Raises:
        InputError: neither exists.
    """
    path = Path(name_or_path)
    if path.suffix in SUFFIXES:
        if not (folder / path).is_file():
            raise InputError(f"{folder / path}: no such recipe file")
        return folder / path
    if str(name_or_path) not in shipped():
        raise InputError(
            f"no recipe {str(name_or_path)!r}{did_you_mean(str(name_or_path), shipped())}; shipped "
            f"are {', '.join(shipped())}; your own is named by its path, ending in .yaml"
        )
    return SHIPPED / f"{name_or_path}.yaml"


def read_fields(path: Path, seen: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The fields of a recipe file, those of the recipe that it extends included.

    Raises:
        InputError: not YAML, no mapping, a key given twice, or recipes that extend each other.
    """
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


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses a key given twice, of which YAML would silently take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.MarkedYAMLError(None, None, f"{key.value!r} twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def parse_yaml(path: Path) -> dict[str, Any]:
    """The fields of a YAML file.

    Raises:
        InputError: not YAML, no mapping, or a key given twice.
    """
    try:
        fields = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InputError(f"{path}{line}: is not YAML: {error.problem}") from error
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(fields, dict) or not all(isinstance(key, str) for key in fields):
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
            if key == "pretrained" and inner and inner != IMAGENET
            else with_files(inner, change)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [with_files(inner, change) for inner in value]
    file, _, name = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    if file.endswith(".py") and " " not in name:
        return f"{change(file)}:{name}"
    return value
