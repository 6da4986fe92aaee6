"""Mutants: small wrong changes to a file, made by mutmut's operators and drawn with a seed.

Of mutmut only the operators are used: its own runner cannot draw a sample, mutates no property,
no decorated function and no constant of a module, and must first run all tests.
"""

from __future__ import annotations

import difflib
import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import libcst as cst
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators

from related import mutated_files

NOT_CODE = (cst.Annotation, cst.Decorator, cst.Import, cst.ImportFrom, cst.Raise)
"""What runs nothing, or only says why something was refused."""


@dataclass(frozen=True)
class Mutant:
    """One file with one change.

    Attributes:
        file: relative to the repository.
        line: of the change.
        source: the whole file.
        diff: unified, without the names of the files.
    """

    file: str
    line: int
    source: str
    diff: str

    @property
    def name(self) -> str:
        """The same for the same change of the same file."""
        return hashlib.blake2b(f"{self.file}\n{self.diff}".encode(), digest_size=6).hexdigest()


@dataclass(frozen=True)
class Place:
    """Where a file can be changed, and to what."""

    file: str
    line: int
    module: cst.Module
    old: cst.CSTNode
    new: cst.CSTNode


def drawn(root: Path, sample: int, seed: int) -> tuple[list[Mutant], int]:
    """So many mutants at random, and how many there could be; the same seed, the same mutants."""
    places = [place for file in mutated_files(root) for place in _places(root, file)]
    order = random.Random(seed).sample(places, len(places))
    found: dict[str, Mutant] = {}
    for place in order:
        if len(found) == sample:
            break
        mutant = _made(root, place)
        if mutant is not None:
            found.setdefault(mutant.name, mutant)
    return list(found.values()), len(places)


class _Finder(cst.CSTVisitor):
    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[int, cst.CSTNode, cst.CSTNode]] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        if isinstance(node, NOT_CODE) or _only_for_types(node):
            return False
        for kind, operator in mutation_operators:
            if isinstance(node, kind):
                line = self.get_metadata(PositionProvider, node).start.line
                self.found += [(line, node, new) for new in operator(node)]
        return True


def _only_for_types(node: cst.CSTNode) -> bool:
    if isinstance(node, cst.If):
        return isinstance(node.test, cst.Name) and node.test.value == "TYPE_CHECKING"
    if isinstance(node, cst.AnnAssign):
        kind = node.annotation.annotation
        return isinstance(kind, cst.Name) and kind.value == "TypeAlias"
    return False


def _places(root: Path, file: str) -> Iterator[Place]:
    wrapper = MetadataWrapper(cst.parse_module((root / file).read_text(encoding="utf-8")))
    finder = _Finder()
    wrapper.visit(finder)
    for line, old, new in finder.found:
        yield Place(file, line, wrapper.module, old, new)


def _made(root: Path, place: Place) -> Mutant | None:
    """None where the change is no Python, or changes nothing."""
    before = (root / place.file).read_text(encoding="utf-8")
    changed = place.module.deep_replace(place.old, place.new)
    assert isinstance(changed, cst.Module)
    try:
        compile(changed.code, place.file, "exec")
    except SyntaxError:
        return None
    lines = difflib.unified_diff(before.splitlines(), changed.code.splitlines(), n=1, lineterm="")
    diff = "\n".join(list(lines)[2:])
    return Mutant(place.file, place.line, changed.code, diff) if diff else None
