"""Adapter: a plain numpy function of one image as an operator."""

from __future__ import annotations

import dataclasses
import inspect
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, get_type_hints

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from midclass.errors import InputError
from midclass.knowledge._visibility import FAINTEST
from midclass.knowledge.base import Knowledge
from midclass.types import ImageBatch, Params

GIVEN = ("image", "anatomy", "spacing_mm", "rng")
"""The first parameters of a function of one image."""

Changed = NDArray[Any] | tuple[NDArray[Any], NDArray[Any]]


def per_image(function: Callable[..., Changed], border_mm: float = 1.0) -> type[Knowledge]:
    """An operator class from a function of one image.

    The function is called as ``function(image, anatomy, spacing_mm, rng, **arguments)``:

    * ``image``: float32 ``spatial`` of a grey image, ``(c, *spatial)`` of one with more channels,
      in [0, 1]; ``spatial`` is ``(h, w)`` or ``(d, h, w)``. It is a copy.
    * ``anatomy``: bool ``spatial``, where disease can be.
    * ``spacing_mm``: one number per spatial axis.
    * ``rng``: a ``numpy.random.Generator``, from a seed per image that is the operator's draw, so
      that the result is the same on every call and in every batch.

    It returns the new image, or the new tissue and its share alpha (``spatial``, in [0, 1]), which
    is blended in softly. Its further parameters are the operator's arguments, with their types and
    defaults; its docstring is the operator's and says ``Why:``.

    The change ends softly over ``border_mm`` at the anatomy's border, see ``Knowledge.border_mm``.
    Images are taken one by one on the CPU: fine to try an idea, slower than torch on batches.

    Raises:
        TypeError: the function does not begin with the four parameters, or one has no default.

    >>> def bleach(image, anatomy, spacing_mm, rng, gain: tuple[float, float] = (1.1, 1.3)):
    ...     '''Brighter. Why: an example of how a function becomes an operator (no source).'''
    ...     return image * rng.uniform(*gain)
    >>> Bleach = per_image(bleach)
    >>> Bleach(gain=(1.5, 2.0))
    Bleach(gain=(1.5, 2.0))
    """
    parameters = list(inspect.signature(function).parameters.values())
    if tuple(p.name for p in parameters[:4]) != GIVEN:
        raise TypeError(f"{function.__name__} must begin with the parameters {', '.join(GIVEN)}")
    hints = get_type_hints(function, include_extras=True)
    fields = []
    for parameter in parameters[4:]:
        if parameter.default is inspect.Parameter.empty:
            raise TypeError(f"{function.__name__}: {parameter.name} needs a default")
        default = dataclasses.field(default=parameter.default)
        fields.append((parameter.name, hints.get(parameter.name, Any), default))
    return dataclasses.make_dataclass(
        function.__name__.title().replace("_", ""),
        fields,
        bases=(_PerImage,),
        namespace={
            "function": staticmethod(function),
            "border_mm": border_mm,
            "__doc__": inspect.getdoc(function),
            "__module__": function.__module__,
        },
        frozen=True,
    )


class _PerImage(Knowledge):
    """Loops over the images; a subclass has the function and its arguments as fields."""

    @staticmethod
    @abstractmethod
    def function(*given: Any, **arguments: Any) -> Changed:
        """The user's function."""

    def draw(self, batch: ImageBatch, rng: torch.Generator) -> Params:
        """A seed for each image."""
        return {"seed": torch.randint(2**62, (len(batch),), generator=rng)}

    def render(self, batch: ImageBatch, params: Params) -> tuple[Tensor, Tensor]:
        """What the function makes of each image."""
        made = [self._one(batch[i : i + 1], int(seed)) for i, seed in enumerate(params["seed"])]
        new, alpha = (torch.from_numpy(np.stack(part)) for part in zip(*made, strict=True))
        return new.to(batch.pixels.device), alpha.unsqueeze(1).to(batch.pixels.device)

    def _one(self, batch: ImageBatch, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """New tissue ``(c, *spatial)`` and its share ``spatial``."""
        old: NDArray[np.float32] = batch.pixels[0].cpu().numpy()
        anatomy = batch.anatomy[0, 0].cpu().numpy().copy()
        seen = old[0] if len(old) == 1 else old
        changed = self.function(
            seen.copy(),
            anatomy,
            tuple(batch.spacing_mm[0].tolist()),
            np.random.default_rng(seed),
            **{field.name: getattr(self, field.name) for field in dataclasses.fields(self)},  # type: ignore[arg-type]
        )
        new, share = changed if isinstance(changed, tuple) else (changed, None)
        new = self._of_shape(new, seen.shape, "an image").reshape(old.shape)
        if share is None:  # where it changed, by more than a display shows
            share = np.abs(new - old).max(axis=0) > FAINTEST
        return new, self._of_shape(share, batch.spatial, "an alpha")

    def _of_shape(
        self, values: NDArray[Any], shape: tuple[int, ...], what: str
    ) -> NDArray[np.float32]:
        found = np.asarray(values, np.float32)
        if found.shape != shape:
            raise InputError(
                f"{type(self).__name__}: the function returned {what} of shape {found.shape}, "
                f"expected {shape}"
            )
        return found


__all__ = ["per_image"]
