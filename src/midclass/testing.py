"""Checks that any operator must pass, yours too: ``check_operator(MyOperator())`` in a test."""

from __future__ import annotations

import torch
from torch import Tensor

from midclass.knowledge.base import Knowledge
from midclass.types import ImageBatch, Params


def example_batch(dims: int = 2, n: int = 6, channels: int = 1, seed: int = 0) -> ImageBatch:
    """Smooth textured images with a ball of anatomy, each with a spacing of its own.

    >>> example_batch(dims=3).spatial
    (24, 24, 24)
    """
    rng = torch.Generator().manual_seed(seed)
    size = 64 if dims == 2 else 24
    mode = "bicubic" if dims == 2 else "trilinear"
    coarse = torch.rand(n, channels, *(size // 4,) * dims, generator=rng)
    texture = torch.nn.functional.interpolate(coarse, size=(size,) * dims, mode=mode)
    grain = torch.randn(n, channels, *(size,) * dims, generator=rng)
    pixels = (0.25 + 0.3 * texture + 0.01 * grain).clamp(0, 1)
    axes = [torch.linspace(-1, 1, size)] * dims
    radius = torch.stack(torch.meshgrid(*axes, indexing="ij")).square().sum(0).sqrt()
    spacing = torch.linspace(0.8, 1.2, n).unsqueeze(1)
    return ImageBatch(
        pixels, (radius < 0.8).expand(n, 1, *(size,) * dims).clone(), spacing.repeat(1, dims)
    )


def check_operator(operator: Knowledge, batch: ImageBatch | None = None, seed: int = 0) -> None:
    """Check one operator on one batch; without a batch, on 2-D and 3-D examples.

    Raises:
        AssertionError: naming the operator and the promise that it breaks.
    """
    _says_why(operator)
    for images in [batch] if batch is not None else [example_batch(2), example_batch(3)]:
        before = images.pixels.clone()
        params = operator.draw(images, torch.Generator().manual_seed(seed))
        _keeps_its_form(operator, images, params)
        _stays_in_place(operator, images, params)
        _repeats(operator, images, params, seed)
        _grows_from_nothing(operator, images, params)
        _require(operator, torch.equal(images.pixels, before), "changes its input")


def _says_why(operator: Knowledge) -> None:
    text = type(operator).__doc__ or ""
    why = text.partition("Why:")[2]
    _require(operator, len(why.split()) >= 10, "has no docstring with 'Why: ...' and a source")


def _keeps_its_form(operator: Knowledge, batch: ImageBatch, params: Params) -> None:
    middle = operator.apply(batch, params)
    one = (len(batch), 1, *batch.spatial)
    _require(operator, middle.pixels.shape == batch.pixels.shape, "changes the shape of the images")
    _require(operator, tuple(middle.change.shape) == one, f"has a change map that is not {one}")
    _require(operator, middle.severity.shape == (len(batch),), "has not one severity per image")
    for name in ("pixels", "change", "severity"):
        values: Tensor = getattr(middle, name)
        _require(operator, values.dtype == torch.float32, f"returns {name} of {values.dtype}")
        inside = bool(torch.isfinite(values).all() and values.min() >= 0 and values.max() <= 1)
        _require(operator, inside, f"returns {name} outside [0, 1]")


def _stays_in_place(operator: Knowledge, batch: ImageBatch, params: Params) -> None:
    middle = operator.apply(batch, params)
    changed = (middle.pixels != batch.pixels).any(1, keepdim=True)
    _require(operator, not (changed & (middle.change == 0)).any(), "changes outside its change map")
    _require(operator, not (middle.change > 0)[~batch.anatomy].any(), "marks outside the anatomy")
    share = (middle.severity > 0).float().mean()
    _require(operator, bool(share >= 0.5), "leaves most images as they are")


def _repeats(operator: Knowledge, batch: ImageBatch, params: Params, seed: int) -> None:
    middle = operator.apply(batch, params)
    again = operator.apply(batch, operator.draw(batch, torch.Generator().manual_seed(seed)))
    _require(operator, torch.equal(middle.pixels, again.pixels), "is not repeated by its draw")
    for name, values in params.items():
        _require(operator, len(values) == len(batch), f"draws {name} without a row per image")
    for row in range(len(batch)):
        alone = operator.apply(
            batch[row : row + 1], {name: values[row : row + 1] for name, values in params.items()}
        )
        same = torch.allclose(alone.pixels[0], middle.pixels[row], atol=1e-4)
        _require(operator, same, "treats an image differently alone and in a batch")


def _grows_from_nothing(operator: Knowledge, batch: ImageBatch, params: Params) -> None:
    nowhere = ImageBatch(batch.pixels, torch.zeros_like(batch.anatomy), batch.spacing_mm)
    middle = operator.apply(nowhere, params)
    untouched = torch.equal(middle.pixels, batch.pixels) and not middle.severity.any()
    _require(operator, untouched, "changes images without anatomy, or calls them severe")
    sham = operator.sham(batch, params)
    _require(operator, sham.shape == batch.pixels.shape, "has a sham of another shape")
    change = (operator.apply(batch, params).pixels - batch.pixels).square().sum()
    _require(
        operator,
        bool((sham - batch.pixels).square().sum() <= change),
        "has a sham that changes more than the operator",
    )


def _require(operator: Knowledge, kept: bool, otherwise: str) -> None:
    if not kept:
        raise AssertionError(f"{type(operator).__name__} {otherwise}")


__all__ = ["check_operator", "example_batch"]
