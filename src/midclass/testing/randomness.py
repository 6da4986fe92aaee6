"""Promises about repeating: one draw, one result, whatever else is called or beside it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from midclass.testing.subject import Subject, copied
from midclass.types import Middle, Params, of_rows

HALF_A_GREY_LEVEL = 1 / 510
"""Sums over one image and over many differ in the last bits; nobody can see so much."""


def keeps_its_input(subject: Subject) -> str | None:
    """Neither the images nor the draw are written to."""
    batch, drawn = copied(subject.batch), {name: v.clone() for name, v in subject.params.items()}
    subject.operator.apply(batch, drawn)
    subject.operator.sham(batch, drawn)
    subject.operator.draw(batch, torch.Generator().manual_seed(subject.seed))
    for name in ("pixels", "anatomy", "spacing_mm"):
        if not torch.equal(getattr(batch, name), getattr(subject.batch, name)):
            return f"changes its input: {name}"
    return None if _equal(drawn, subject.params) else "changes its input: the draw"


def repeats(subject: Subject) -> str | None:
    """The same draw gives the same result on every call."""
    with _global_seeds_kept():  # what comes from global seeds is found by another promise
        _seed_globally(0)
        drawn = subject.draw()
        results = []
        for _ in range(2):
            _seed_globally(1)
            results.append(subject.apply(params=drawn))
        _seed_globally(0)
        redrawn = subject.draw()
    if not _same(results[0], results[1], 0.0):
        return "gives another result on a second call with the same draw"
    return None if _equal(drawn, redrawn) else "draws otherwise on a second call with the same seed"


def uses_its_generator_alone(subject: Subject) -> str | None:
    """Global random numbers are neither used nor advanced, and the generator is used."""
    with _global_seeds_kept():
        found, advanced = [], False
        for seed in (1, 2):
            _seed_globally(seed)
            before = _global_states()
            params = subject.draw()
            found.append((params, subject.apply(params=params)))
            advanced |= _global_states() != before
    (one, first), (other, second) = found
    if not (_equal(one, other) and _same(first, second, 0.0)):
        return "uses random numbers from outside its generator"
    if advanced:
        return "advances the global random numbers of torch, numpy or random"
    if _equal(one, subject.draw(seed=subject.seed + 1)):
        return "draws the same from every generator"
    return None


def treats_images_alone(subject: Subject) -> str | None:
    """An image comes out the same alone, in a half of the batch and in the batch."""
    n = len(subject.batch)
    parts = [slice(row, row + 1) for row in range(n)] + [slice(0, n // 2), slice(n // 2, n)]
    for part in parts:
        if len(subject.batch[part]) == 0:
            continue
        alone = subject.apply(subject.batch[part], of_rows(subject.params, part))
        whole = subject.middle
        there = Middle(whole.pixels[part], whole.change[part], whole.severity[part])
        if not _same(alone, there, HALF_A_GREY_LEVEL):
            return "treats an image differently alone and in a batch"
    return None


def _same(one: Middle, other: Middle, tolerance: float) -> bool:
    # A share next to the faintest may fall on either side of it: one grey level of the change map.
    return (
        torch.allclose(one.pixels, other.pixels, rtol=0, atol=tolerance)
        and torch.allclose(one.change, other.change, rtol=0, atol=2.1 * tolerance)
        and torch.allclose(one.severity, other.severity, rtol=0, atol=tolerance)
    )


def _equal(one: Params, other: Params) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@contextmanager
def _global_seeds_kept() -> Iterator[None]:
    state, legacy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        random.setstate(state)
        np.random.set_state(legacy)


def _seed_globally(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def _global_states() -> tuple[object, ...]:
    words = np.random.get_state(legacy=False)
    return random.getstate(), repr(words), torch.get_rng_state().numpy().tobytes()
