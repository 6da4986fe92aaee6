"""Damage that knows JSON and YAML: values, keys, nesting and encodings."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import numpy as np
import yaml

from fuzz.spoil import pick

VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 0.5, 1e-6, -1e-9, 1e21, 1e308, 2**31, 2**63, 2**64, -(2**70)),
    *(
        float("nan"),
        float("inf"),
        float("-inf"),
        "",
        " ",
        "nan",
        "inf",
        "1e400",
        "yes",
        "010",
        "1:30",
    ),
    *(
        "0,5",
        "null",
        "=1+1",
        "\x1b[31mred",
        "a\nb",
        "x" * 5000,
        "é",
        "\u202e",
        "\ud800",
        "../../etc",
    ),
    *([], [1], [2, 1], [0.1, 0.9], [1, 2, 3], {}, {"a": 1}, [[[[[]]]]], [None], ["a", "b"]),
    *(
        "fuzz.trap:whole",
        "fuzz.trap:Trap",
        "shutil:rmtree",
        "os:system",
        "trap.py:whole",
        "focal.Focal",
    ),
    *(
        "anatomy.whole",
        "nosuch.Thing",
        "a:b:c",
        ":",
        ".",
        "midclass.images.anatomy:whole",
        "torch.nn:Linear",
    ),
    *(
        [64, 64],
        [10**9, 10**9],
        [16, 4096],
        [-32, 32],
        "64",
        list(range(1000)),
        "2026-11-28",
        1e-320,
    ),
)


def walk(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all that a tree of values holds."""
    found = [path] if path else []
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list) and len(value) < 50:
        items = enumerate(value)
    elif isinstance(value, list):
        items = [(k, value[k]) for k in (0, len(value) // 2, len(value) - 1)]
    for key, inner in items:
        found += walk(inner, (*path, key))
    return found


def near(name: str, rng: np.random.Generator) -> str:
    """A name that is nearly the same."""
    k = int(rng.integers(max(1, len(name))))
    ways = (name.upper(), name + "s", name[:k] + name[k + 1 :], name.replace("_", "-"), f" {name}")
    ways += (name.title(), name[:k] + "x" + name[k:], name + "\u200b", name[::-1])
    return pick(rng, ways)


def change_tree(tree: Any, rng: np.random.Generator) -> str:
    """Change one value or key of a tree in its place; gives what was done."""
    paths = walk(tree)
    path = pick(rng, paths)
    where = tree
    for step in path[:-1]:
        where = where[step]
    key, name = path[-1], ".".join(map(str, path))
    kind = int(rng.integers(8))
    if kind <= 3:
        where[key] = deepcopy(pick(rng, VALUES))
        return f"{name} = {where[key]!r}"[:100]
    if kind == 4:
        del where[key]
        return f"{name} removed"
    if kind == 5 and isinstance(where, dict):
        new = near(str(key), rng)
        where[new] = where.pop(key)
        return f"{name} renamed {new!r}"
    if kind == 6:
        old = where[key]
        if isinstance(old, int | float) and not isinstance(old, bool):
            where[key] = old * float(rng.choice([-1, 0.001, 1000, 1e9, 1.0000001]))
            return f"{name} = {where[key]:g}"
        where[key] = [old] if rng.random() < 0.5 else {"value": old}
        return f"{name} wrapped"
    deep: Any = where[key]
    for _ in range(int(rng.choice([20, 200, 800]))):
        deep = [deep] if rng.random() < 0.5 else {"a": deep}
    where[key] = deep
    return f"{name} nested"


def change_once_or_twice(tree: Any, rng: np.random.Generator) -> str:
    what = change_tree(tree, rng)
    return f"{what}; {change_tree(tree, rng)}" if rng.random() < 0.2 else what


def spoil_json(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    text = data.decode()
    kind = int(rng.integers(8))
    if kind <= 5:
        tree = json.loads(text)
        what = change_once_or_twice(tree, rng)
        return json.dumps(tree, indent=1).encode("utf-8", "surrogatepass"), what
    whole = (
        *(
            "",
            "null",
            "[]",
            "{}",
            "3",
            '"a"',
            "[" * 100_000,
            '{"a":' * 100_000,
            text + text,
            text[:-3],
        ),
        *("\ufeff" + text, text.replace('"', "'"), text.replace(",", ",,"), text + "x", "1" * 5000),
        text.replace("{", '{"detector": "midclass.detectors.baselines.pca:PCA", ', 1),
        text.replace("threshold", "recipe"),
    )
    k = int(rng.integers(len(whole) + 1))
    if k == len(whole):
        return text.encode("utf-16"), "utf-16"
    return whole[k].encode("utf-8", "surrogatepass"), f"text {k}"


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


def spoil_yaml(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    text = data.decode()
    kind = int(rng.integers(8))
    if kind <= 4:
        tree = yaml.safe_load(text)
        what = change_once_or_twice(tree, rng)
        try:
            made = yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)
        except (yaml.YAMLError, RecursionError):
            made = json.dumps(tree)
        return made.encode("utf-8", "surrogatepass"), what
    lines = text.splitlines()
    k = int(rng.integers(len(lines)))
    if kind == 5:
        changes = (lines[k] + ":", "\t" + lines[k], "  " + lines[k], lines[k].replace(": ", ":"))
        changes += (
            lines[k].replace(":", ": !!python/object/apply:os.system"),
            lines[k] + " &a",
            "- " + lines[k],
        )
        changes += (
            lines[k].replace(": ", ": *"),
            lines[k].replace(": ", ": [", 1),
            lines[k] + " {",
            "---",
            "...",
        )
        changes += (
            "%YAML 9.9",
            "? " + lines[k],
            "<<: *a",
            lines[k] + "\n" + lines[k],
            "\x00",
            "'" + lines[k],
        )
        lines[k] = pick(rng, changes)
        return "\n".join(lines).encode("utf-8", "surrogatepass"), f"line {k + 1}: {lines[k]}"[:100]
    whole = (
        *(
            "",
            "~",
            "[]",
            "3",
            "- a",
            BOMB,
            BOMB + text,
            "a: &a [*a]\n" + text,
            "&a {x: *a}",
            "<<: &a {<<: *a}",
        ),
        *(
            "[" * 3000,
            "{a: " * 3000,
            "a:\n" + text,
            text + "\n---\n" + text,
            text.replace(" ", "\t"),
        ),
        *(
            "extends: chest_xray\n" + text,
            "extends: self.yaml",
            "extends: [a]\n",
            "extends: ../../../etc/passwd",
        ),
        *(
            "".join(f"k{i}: 1\n" for i in range(100_000)),
            "name: " + "x" * 3_000_000,
            text + "\nname: b",
        ),
        *(
            "? [a, b]\n: c\n" + text,
            "1: 2\n" + text,
            "!!set {a}",
            "name: !!binary aGFsbG8=\n",
            "\ufeff" + text,
        ),
        *(
            "- " * 5000 + "a",
            "a: |\n" + " x\n" * 100_000,
            "? " * 3000,
            "x: 0x" + "f" * 5000,
            "x: 1" + "0" * 5000,
        ),
        *(
            "x: " + "1:" * 3000 + "1",
            "x: 1e999999999",
            "!<tag:a> b",
            "x: 9999-99-99",
            "x: 2026-02-30",
            "!!int x",
        ),
    )
    at = int(rng.integers(len(whole) + 1))
    if at == len(whole):
        return text.encode("utf-16"), "utf-16"
    return whole[at].encode(), f"text {at}"
