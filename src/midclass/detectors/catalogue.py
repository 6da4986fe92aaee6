"""Catalogue: the detectors by the names that commands and studies use."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

from midclass.detectors import baselines
from midclass.errors import InputError, did_you_mean
from midclass.recipe.resolve import MOVED_NAMES, resolve

if TYPE_CHECKING:
    from midclass.detectors.base import Detector

METHOD = "midclass.detectors.middle_class"


def detector_names() -> dict[str, str]:
    """What commands and studies call the detectors -> the module of each.

    >>> detector_names()["pca"]
    'midclass.detectors.baselines.pca'
    """
    modules = [m.name for m in pkgutil.iter_modules(baselines.__path__)]
    names = {m: f"{baselines.__name__}.{m}" for m in modules if not m.startswith("_")}
    return {"middle_class": METHOD, **names}


def check_name(name: str) -> None:
    """Refuse what is the name of no module, which can be told without torch.

    Raises:
        InputError: with the names that there are.
    """
    names, place = detector_names(), name.partition(".")[0]
    if ":" not in name and place not in names:
        hint = did_you_mean(place, names)
        raise InputError(f"no detector {name!r}{hint}; the detectors are {', '.join(names)}")


def detector_class(name: str, trust: Collection[Path] = ()) -> type[Detector]:
    """The detector of a module of ``midclass.detectors``, such as ``middle_class``; or of a file.

    Args:
        name: of the module; ``module.Class`` where it has several, such as ``supervised.Focal``; or
            ``path/to/file.py:Class``.
        trust: files of the user's that may run.

    Raises:
        InputError: there is no such module, or the file's class is no detector.
    """
    check_name(name)
    from midclass.detectors.base import Detector

    if ":" in name:
        found = resolve(name, "midclass.detectors", "detector", Path(), trust)
        if not (isinstance(found, type) and issubclass(found, Detector)):
            raise InputError(f"detector: {name} is no class derived from Detector")
        return found
    place, _, wanted = name.partition(".")
    module = importlib.import_module(detector_names()[place])
    own = {
        f"{place}.{one.__name__}": one
        for one in vars(module).values()
        # The home comes first: to Python 3.10 an alias such as ``list[int]`` is a type, too.
        if isinstance(one, type) and one.__module__ == module.__name__ and issubclass(one, Detector)
        if not inspect.isabstract(one)
    }
    if not wanted and len(own) == 1:
        return next(iter(own.values()))
    name = f"{place}.{MOVED_NAMES.get((module.__name__, wanted), wanted)}" if wanted else name
    if name not in own:
        raise InputError(
            f"no detector {name!r}{did_you_mean(name, own)}; there are {', '.join(own)}"
        )
    return own[name]
