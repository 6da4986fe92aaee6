"""Resolving: names in a recipe -> functions and operators, with every mistake in one line."""

from __future__ import annotations

import importlib
import pkgutil
import reprlib
import sys
from collections.abc import Collection
from functools import lru_cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from midclass.errors import InputError, did_you_mean

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
        trust: the files, and the installed packages or modules by name, that may run.

    Raises:
        InputError: there is no such thing, or it is not of midclass and not trusted. Nothing was
            imported then.

    >>> resolve("anatomy.whole", "midclass.images", "my.yaml: anatomy", Path()).__name__
    'whole'
    """
    place, _, name = reference.rpartition(":")
    if place.endswith(".py"):
        module = _trusted(folder / place, where, trust)
    elif place:
        module = _installed(place, shorthand, where, trust)
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
        module = _imported(f"{shorthand}.{module_name}", where)
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
    """The detector's class of ``reference_to``; a file is looked for among those that may run.

    Raises:
        InputError: there is no such thing, or no file of this name, or several, may run; or it is
            of a package that is not trusted.
    """
    place, _, name = reference.rpartition(":")
    if not place.endswith(".py"):
        return resolve(reference, "midclass.detectors", where, Path(), trust)
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


def _installed(name: str, shorthand: str, where: str, trust: Collection[Path]) -> ModuleType:
    """A module by its full name: of midclass only where such things are, others where trusted."""
    if not all(part.isidentifier() for part in name.split(".")):
        raise InputError(f"{where}: {reprlib.repr(name)} is no name of a module")
    if name.partition(".")[0] != "midclass":
        if not any(name == one or name.startswith(f"{one}.") for one in map(str, trust)):
            raise InputError(
                f"{where}: {name} would run code that does not belong to midclass; "
                f"look at it, then pass --trust {name}"
            )
        return _imported(name, where)
    moved = _moved(name)
    if moved != shorthand and not moved.startswith(f"{shorthand}."):
        raise InputError(f"{where}: {name} is no module of {shorthand}")
    return _imported(moved, where)


def _imported(name: str, where: str) -> ModuleType:
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
