"""Another device, without one: tensors that say they lie there, and whose numbers lie here.

What mixes tensors of two devices fails as it does with a GPU. All is computed by the processor, so
that results are the same but for rounding. What a GPU lacks or rounds otherwise is not seen.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only

DEVICE = torch.device("meta")  # a name that torch takes everywhere
_ATEN = torch.ops.aten
MAY_MIX = {_ATEN._to_copy.default, _ATEN.copy_.default}
INDEXED = {_ATEN.index.Tensor, _ATEN.index_put.default, _ATEN.index_put_.default}
"""On a GPU an index may lie on the processor, not the other way round."""


class Elsewhere(Tensor):
    """A tensor on the other device."""

    here: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, here: Tensor) -> Elsewhere:
        made: Elsewhere = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            here.shape,
            strides=here.stride(),
            storage_offset=here.storage_offset(),
            dtype=here.dtype,
            device=DEVICE,
            requires_grad=here.requires_grad,
        )
        made.here = here
        return made

    def __repr__(self) -> str:  # type: ignore[override]
        return f"Elsewhere({self.here})"

    def tolist(self) -> Any:
        """As of a GPU: the numbers are fetched."""
        return self.here.tolist()

    def new_tensor(self, data: Any, dtype: torch.dtype | None = None) -> Tensor:  # type: ignore[override]
        """On this device, which torch would not tell the mode."""
        return Elsewhere(torch.tensor(data, dtype=dtype or self.dtype))

    def quantile(self, *args: Any, **kwargs: Any) -> Tensor:  # type: ignore[override]
        """As a whole: its parts change their own shapes, which a tensor of this kind cannot."""
        return Elsewhere(self.here.quantile(*args, **kwargs))

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return called(func, args, kwargs or {})


def _told(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Numbers of Python become tensors of ``DEVICE`` without a word to dispatch modes."""

    def made(*args: Any, **kwargs: Any) -> Tensor:
        if kwargs.get("device") != DEVICE:
            return make(*args, **kwargs)
        del kwargs["device"]
        return make(*args, **kwargs).to(DEVICE)

    return made


class Device(TorchDispatchMode):
    """Where it is on, what is made on ``DEVICE`` or moved there is ``Elsewhere``."""

    def __enter__(self) -> Device:
        self._patch = pytest.MonkeyPatch()
        for name in ("tensor", "as_tensor"):
            self._patch.setattr(torch, name, _told(getattr(torch, name)))
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._patch.undo()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return called(func, args, kwargs or {})


def called(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """What a function of torch gives, on the device of its arguments."""
    tensors = [one for one in tree_flatten((args, kwargs))[0] if isinstance(one, Tensor)]
    there = any(isinstance(one, Elsewhere) for one in tensors)
    here = [one for one in tensors if not isinstance(one, Elsewhere) and one.ndim]
    indexed = func in INDEXED and isinstance(args[0], Elsewhere)
    if there and here and not indexed and func not in MAY_MIX:
        raise RuntimeError(f"{func}: all tensors must lie on the same device")
    wanted = kwargs.get("device")
    if wanted is not None:
        there = torch.device(wanted) == DEVICE
        kwargs = kwargs | {"device": torch.device("cpu")}
    elif func is _ATEN.copy_.default:
        there = isinstance(args[0], Elsewhere)
    inner_args, inner_kwargs = tree_map_only(Elsewhere, lambda one: one.here, (args, kwargs))
    found = func(*inner_args, **inner_kwargs)
    if not there:
        return found
    known = {id(one.here): one for one in tensors if isinstance(one, Elsewhere)}
    return tree_map_only(
        Tensor, lambda one: known.get(id(one)) if id(one) in known else Elsewhere(one), found
    )
