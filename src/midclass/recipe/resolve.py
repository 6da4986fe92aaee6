"""Resolving: names in a recipe -> functions and operators, with every mistake in one line."""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import math
import pkgutil
import sys
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar, get_type_hints

from pydantic import TypeAdapter, ValidationError

from midclass.errors import InputError

T = TypeVar("T")

USER = "midclass_user_"
"""How the names of modules begin that are files of the user's."""
SOURCE = "__midclass_source__"
"""In such a module: the hash of the source that runs, whatever the file says by now."""

ANATOMIES = "midclass.images.anatomy"
BASELINES = "midclass.detectors.baselines"
MOVED_MODULES = {
    "midclass.images.ct": f"{ANATOMIES}.chest_ct",
    "midclass.images.bone": f"{ANATOMIES}.limb_xray",
}
"""Modules by the names that recipes and saved detectors know them by -> where they are."""
MOVED_NAMES = {
    (f"{BASELINES}.supervised", "Focal"): "FocalLoss",
    (f"{BASELINES}.intensity", "Intensity"): "MeanAndSpread",
}
"""Classes that had another name when detectors were saved."""


def resolve(
    reference: str, shorthand: str, where: str, folder: Path, trust: Collection[Path] = ()
) -> Any:
    """The object that a recipe names.

    Args:
        reference: ``module.Name`` of the shorthand package, ``package.module:Name`` of anything
            installed, or ``file.py:Name``.
        shorthand: the package of the first form, such as ``midclass.knowledge``.
        where: the recipe and the field, for messages.
        folder: to which ``file.py`` is relative.
        trust: the files that may run.

    Raises:
        InputError: there is no such thing, or its file is not trusted.

    >>> resolve("anatomy.whole", "midclass.images", "my.yaml: anatomy", Path()).__name__
    'whole'
    """
    place, _, name = reference.rpartition(":")
    if place.endswith(".py"):
        module = _trusted(folder / place, where, trust)
    elif place:
        module = _installed(place, where)
    else:
        module_name, _, name = reference.rpartition(".")
        if not module_name or module_name.startswith("_") or "." in module_name:
            raise InputError(
                f"{where}: {reference!r} is no module.Name of {shorthand}; "
                f"others are named package.module:Name or file.py:Name"
            )
        known = _known_modules(shorthand)
        if module_name not in known:
            public = [module for module in known if not module.startswith("_")]
            raise InputError(
                f"{where}: no module {module_name!r}{did_you_mean(module_name, public)} "
                f"in {shorthand}"
            )
        module = importlib.import_module(_moved(f"{shorthand}.{module_name}"))
    name = MOVED_NAMES.get((module.__name__, name), name)
    if not hasattr(module, name):
        own = getattr(module, "__all__", None) or [
            n for n, v in vars(module).items() if getattr(v, "__module__", "") == module.__name__
        ]
        raise InputError(
            f"{where}: no {name!r} in {place or module.__name__}; "
            f"it has {', '.join(n for n in own if not n.startswith('_')) or 'nothing'}"
        )
    return getattr(module, name)


def reference_to(cls: type) -> str:
    """What names a class when it is saved: ``package.module:Name``, or ``file.py:Name``.

    A file is named without its folder, which may be another one when it is read.
    """
    module = cls.__module__
    if module.startswith(USER):
        module = Path(str(sys.modules[module].__file__)).name
    return f"{module}:{cls.__qualname__}"


def saved_class(reference: str, where: str, trust: Collection[Path] = ()) -> Any:
    """The object of ``reference_to``; a file is looked for among those that may run.

    Raises:
        InputError: there is no such thing, or no file of this name, or several, may run.
    """
    place, _, name = reference.rpartition(":")
    if not place.endswith(".py"):
        return resolve(reference, "midclass", where, Path())
    files = _called(place, trust)
    if len(files) != 1:
        how = "pass only one of them" if files else f"read it, then pass --trust {place}"
        raise InputError(
            f"{where}: {reference} is of a file of yours, and {len(files)} trusted files are "
            f"called {place}; {how}"
        )
    return resolve(f"{files.pop()}:{name}", "midclass", where, Path(), trust)


def moved_file(file: str, trust: Collection[Path]) -> str:
    """Where a user's file is that a saved detector names by an old path.

    Args:
        file: the path from when the detector was saved.
        trust: the files that may run.

    Returns:
        The one trusted file with the same name, or ``file`` where none has it, or several have.
    """
    files = _called(Path(file).name, trust)
    return str(files.pop()) if len(files) == 1 else file


def _called(name: str, trust: Collection[Path]) -> set[Path]:
    return {path.resolve() for path in trust if path.resolve().name == name}


def _known_modules(package: str) -> list[str]:
    """The modules of a package; for ``midclass.images``, those with anatomies."""
    found = importlib.import_module(package)
    moved = (name.rpartition(".") for name in MOVED_MODULES)
    return [m.name for m in pkgutil.iter_modules(found.__path__)] + [
        name for parent, _, name in moved if parent == package
    ]


def _moved(module: str) -> str:
    """Where a module is that an older recipe or saved detector names.

    >>> _moved("midclass.images.ct"), _moved("midclass.detectors.pca")
    ('midclass.images.anatomy.chest_ct', 'midclass.detectors.baselines.pca')
    """
    parent, _, name = module.rpartition(".")
    if parent == "midclass.detectors" and find_spec(module) is None:
        return f"{BASELINES}.{name}"
    return MOVED_MODULES.get(module, module)


def _installed(name: str, where: str) -> ModuleType:
    try:
        return importlib.import_module(_moved(name))
    except (ImportError, ValueError, TypeError) as error:
        raise InputError(
            f"{where}: cannot import {name!r} ({error}); is the package installed?"
        ) from error


def _trusted(file: Path, where: str, trust: Collection[Path]) -> ModuleType:
    """Run a user's file, once, if it may run."""
    if not file.is_file():
        raise InputError(f"{where}: no such file {file}")
    if file.resolve() not in {path.resolve() for path in trust}:
        raise InputError(
            f"{where}: {file} would run code that does not belong to midclass; "
            f"read it, then pass --trust {file}"
        )
    try:
        return _run(file.resolve(), file.read_bytes())
    except Exception as error:  # a user's file can raise anything
        message = " ".join(str(error).split())
        raise InputError(
            f"{where}: {file} cannot be run: {type(error).__name__}: {message}"
        ) from error


@lru_cache(maxsize=64)
def _run(file: Path, source: bytes) -> ModuleType:
    """A file as a module; a changed file runs again.

    Not by an import: Python takes compiled code that it has written beside the file for as good as
    the file, if that has the same length and was changed in the same second.
    """
    place = sha256(str(file).encode()).hexdigest()[:16]
    name = f"{USER}{file.stem}_{place}"
    module = ModuleType(name)
    module.__file__ = str(file)
    setattr(module, SOURCE, sha256(source).hexdigest())
    sys.modules[name] = module  # dataclasses and type hints look a class's module up by name
    try:
        exec(compile(source, file, "exec"), vars(module))
    except BaseException:
        del sys.modules[name]
        raise
    return module


def build(cls: type[T], arguments: Mapping[str, Any], where: str) -> T:
    """A frozen dataclass from the arguments in a recipe.

    Raises:
        InputError: no such argument, a missing one, or one of the wrong type or range.

    >>> from midclass.knowledge.focal import Focal
    >>> build(Focal, {"diameter_mm": [8, 50]}, "my.yaml: held_out.blood").diameter_mm
    (8.0, 50.0)
    """
    if not dataclasses.is_dataclass(cls):
        raise InputError(
            f"{where}: {cls.__name__} must be a dataclass; add @dataclass(frozen=True)"
        )
    settable = [field for field in dataclasses.fields(cls) if field.init]
    names = [field.name for field in settable]
    for name in arguments:
        if name not in names:
            raise InputError(
                f"{where}: no argument {name!r}{did_you_mean(name, names)}; "
                f"{cls.__name__} has {', '.join(names)}"
            )
    for field in settable:
        needed = field.default is field.default_factory is dataclasses.MISSING
        if needed and field.name not in arguments:
            raise InputError(f"{where}: {cls.__name__} needs the argument {field.name!r}")
    hints = get_type_hints(cls, include_extras=True)
    checked = {
        name: _checked(value, hints[name], f"{where}.{name}") for name, value in arguments.items()
    }
    try:
        return cls(**checked)
    except (ValueError, TypeError) as error:
        raise InputError(f"{where}: {' '.join(str(error).split())}") from error


def _checked(value: Any, hint: Any, where: str) -> Any:
    """A value as its type asks for; numbers finite, and two of them in order."""
    try:
        checked = TypeAdapter(hint).validate_python(value)
    except ValidationError as error:
        mistake = error.errors()[0]
        own = mistake["type"] == "value_error"  # such as of ``Lengths``
        reason = f", {mistake['ctx']['error']}" if own else f": {mistake['msg']}"
        raise InputError(f"{where} is {value!r}{reason}") from error
    bounds = checked if isinstance(checked, tuple) and len(checked) == 2 else (checked,)
    numbers = [bound for bound in bounds if isinstance(bound, int | float)]
    if not all(math.isfinite(number) for number in numbers):
        raise InputError(f"{where} is {value!r}, expected finite numbers")
    if len(numbers) == 2 and numbers[0] > numbers[1]:
        raise InputError(f"{where} is {value!r}, expected [low, high] with low <= high")
    return checked


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint for a name that does not exist, or "".

    >>> did_you_mean("diametr_mm", ["diameter_mm", "sign"])
    " (did you mean 'diameter_mm'?)"
    """
    close = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""
