"""Acquisition: the nuisance at a chosen strength, as a whole and one part at a time."""

from __future__ import annotations

from dataclasses import fields

import torch

from midclass.knowledge.nuisance import Nuisance
from midclass.types import ImageBatch, Params

FACTORS = ("scale", "aspect", "gain", "gamma")
"""Parts around 1, whose strength is an exponent."""
ADDED = ("rotation_deg", "shift", "offset", "bias", "noise", "blur_mm")
"""Parts around 0, whose strength is a factor."""
ONE_SIDED = ("noise", "blur_mm")
"""Parts that there is only more of."""


def at_strength(params: Params, strength: float) -> Params:
    """What ``Nuisance.draw`` drew, made stronger or weaker; 0 leaves mirroring alone.

    >>> at_strength({"gain": torch.tensor([0.5]), "noise": torch.tensor([0.1])}, 2)
    {'gain': tensor([0.2500]), 'noise': tensor([0.2000])}
    """
    changed = dict(params)
    for name, values in params.items():
        if name in FACTORS:
            changed[name] = values**strength
        elif name in ADDED:
            changed[name] = values * strength
    return changed


def moved(nuisance: Nuisance, images: ImageBatch, params: Params) -> ImageBatch:
    """The images as an acquisition with these parameters shows them."""
    unchanged = torch.zeros_like(images.anatomy, dtype=torch.float32)
    return nuisance.apply(images, params, unchanged)[0]


def acquired(
    images: ImageBatch, nuisance: Nuisance | None, rng: torch.Generator, strength: float = 1.0
) -> ImageBatch:
    """The images as other acquisitions show them; strength 1 is the recipe's."""
    if nuisance is None or not len(images):
        return images
    return moved(nuisance, images, at_strength(nuisance.draw(images, rng), strength))


def sides(nuisance: Nuisance) -> dict[str, tuple[int, ...]]:
    """The parts that the nuisance has, each with its extremes: -1 the lowest, 1 the highest.

    >>> found = sides(Nuisance(gain=(1.0, 1.2), gamma=(1.0, 1.0)))
    >>> found["gain"], found["rotation_deg"], found["noise"], "gamma" in found, "aspect" in found
    ((1,), (-1, 1), (1,), False, False)
    """
    found = {}
    for field in fields(Nuisance):
        name, value = field.name, getattr(nuisance, field.name)
        if name in FACTORS:
            ends = tuple(side for side, end in zip((-1, 1), value, strict=True) if end != 1)
        elif name in ADDED:
            ends = () if not value else (1,) if name in ONE_SIDED else (-1, 1)
        else:
            continue
        if ends:
            found[name] = ends
    return found


def one_part(
    nuisance: Nuisance, name: str, side: int, strength: float, batch: ImageBatch, seed: int
) -> Params:
    """Parameters of ``Nuisance.apply``: one part at an extreme of its range, all others off.

    What has no extreme (the form of the bias field, the grain of noise, the signs of the
    shift along the axes) comes from the seed, the same at every strength.
    """
    off = Nuisance(0, (1, 1), 0, (1, 1), (1, 1), 0, 0, 0, 0)
    rng = torch.Generator().manual_seed(seed)
    params = off.draw(batch, rng)
    value = getattr(nuisance, name)
    if name in FACTORS:
        extreme = value[0] if side < 0 else value[1]
        params[name] = torch.full_like(params[name], extreme**strength)
        return params
    size = torch.full_like(params[name], value * strength)
    if name == "bias":
        return params | {"bias": size, "field": params["field"] * side}
    if name == "shift":
        size = size * (1 - 2 * torch.randint(2, size.shape, generator=rng))
    return params | {name: size * side}
