"""Function: what a recipe may name as an anatomy, and nothing else that can be called."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from midclass.errors import InputError
from midclass.recipe.resolve import ANATOMIES

AnatomyFunction: TypeAlias = Callable[[NDArray[np.float32], tuple[float, ...]], NDArray[np.bool_]]
"""``(c, *spatial)`` in [0, 1] and the spacing in mm -> where disease can be, ``(*spatial)``."""


def anatomy_function(found: Any, where: str) -> AnatomyFunction:
    """The function itself, if it is one that finds an anatomy.

    Of midclass these are the public functions of ``images/anatomy`` with the arguments ``pixels``
    and ``spacing_mm``; one of a trusted file must take two arguments.

    Raises:
        InputError: it is something else; nothing was called.
    """
    if not inspect.isfunction(found):
        raise InputError(f"{where} is no function")
    taken = inspect.signature(found)
    if found.__module__.startswith("midclass."):
        ours = found.__module__.rpartition(".")[0] == ANATOMIES
        public = not found.__name__.startswith("_")
        fits = ours and public and list(taken.parameters) == ["pixels", "spacing_mm"]
    else:
        try:
            taken.bind(None, None)
            fits = True
        except TypeError:
            fits = False
    if not fits:
        raise InputError(f"{where} is no anatomy function; it must take pixels and spacing_mm")
    function: AnatomyFunction = found
    return function
