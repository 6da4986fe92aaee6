"""The contract finds every kind of broken operator, and says what is broken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from midclass import (
    ImageBatch,
    InputError,
    Knowledge,
    Middle,
    Params,
    check_operator,
    example_batch,
)
from midclass.knowledge import _visibility
from midclass.knowledge.calcification import Calcification
from midclass.knowledge.deformation import Deformation
from midclass.knowledge.focal import Focal
from midclass.testing import PROMISES, findings

WHY = (
    "Why: as for its base class, whose promises it keeps but for the one that its name says (2024)."
)
BROKEN: dict[type[Knowledge], str] = {}


def breaks(message: str, doc: str = WHY) -> Callable[[type[Knowledge]], type[Knowledge]]:
    """An operator that breaks one promise, and what the contract must say of it."""

    def remember(cls: type[Knowledge]) -> type[Knowledge]:
        cls.__doc__ = doc
        BROKEN[cls] = message
        return cls

    return remember


def measured(batch: ImageBatch, pixels: Tensor, change: Tensor) -> Middle:
    return Middle(pixels, change, _visibility.severity(batch, pixels, change))


@breaks("has no docstring with 'Why: ...' and a source", "A lesion that is bright.")
class SaysNothing(Focal):
    pass


@breaks("names no source after 'Why:'", "Why: all who have seen lesions know that they look so.")
class SaysNoSource(Focal):
    pass


@breaks("changes the shape of the images")
class CutsTheImage(Focal):
    def apply(self, batch: ImageBatch, params: Params) -> Middle:
        middle = super().apply(batch, params)
        return replace(middle, pixels=middle.pixels[..., 1:])


@breaks("has a change map that is not (6, 1, 64, 64)")
class MarksByChannel(Focal):
    def apply(self, batch: ImageBatch, params: Params) -> Middle:
        middle = super().apply(batch, params)
        return replace(middle, change=middle.change.squeeze(1))


@breaks("has not one severity per image")
class RatesTheBatch(Focal):
    def apply(self, batch: ImageBatch, params: Params) -> Middle:
        middle = super().apply(batch, params)
        return replace(middle, severity=middle.severity.mean())


@breaks("returns pixels of torch.float64")
class ReturnsDoubles(Focal):
    def apply(self, batch: ImageBatch, params: Params) -> Middle:
        middle = super().apply(batch, params)
        return replace(middle, pixels=middle.pixels.double())


@breaks("returns pixels that are not finite")
class DividesByNothing(Focal):
    def apply(self, batch: ImageBatch, params: Params) -> Middle:
        middle = super().apply(batch, params)
        return replace(middle, pixels=torch.where(middle.change > 0.5, torch.nan, middle.pixels))


@breaks("returns pixels outside [0, 1]")
class Overexposes(Focal):
    def apply(self, batch: ImageBatch, params: Params) -> Middle:
        middle = super().apply(batch, params)
        return replace(middle, pixels=middle.pixels + middle.change)


@breaks("returns change outside [0, 1]")
class MarksTooMuch(Focal):
    def apply(self, batch: ImageBatch, params: Params) -> Middle:
        middle = super().apply(batch, params)
        return replace(middle, change=2 * middle.change)


@breaks("returns severity outside [0, 1]")
class RatesAboveOne(Focal):
    def apply(self, batch: ImageBatch, params: Params) -> Middle:
        middle = super().apply(batch, params)
        return replace(middle, severity=3 * middle.severity)


@breaks("draws together without a row per image")
class DrawsOneForAll(Focal):
    def draw(self, batch: ImageBatch, rng: torch.Generator) -> Params:
        return {**super().draw(batch, rng), "together": torch.rand(1, generator=rng)}


@breaks("cannot take 3-D images of 1 channel (RuntimeError: ")
class Flat(Focal):
    def render(self, batch: ImageBatch, params: Params) -> tuple[Tensor, Tensor]:
        new, alpha = super().render(batch, params)
        return new, functional.avg_pool2d(functional.pad(alpha, (1, 1, 1, 1)), 3, 1)


@breaks("cannot take 2-D images of 3 channels (")
class Grey(Focal):
    def apply(self, batch: ImageBatch, params: Params) -> Middle:
        middle = super().apply(batch, params)
        return replace(middle, pixels=middle.pixels.mean(1, keepdim=True))


@breaks("cannot take 2-D images of 1 channel (")
class Square(Focal):
    def render(self, batch: ImageBatch, params: Params) -> tuple[Tensor, Tensor]:
        new, alpha = super().render(batch, params)
        return new, (alpha + alpha.transpose(-1, -2)) / 2


@breaks("changes its input: pixels")
class WritesIntoItsInput(Focal):
    def apply(self, batch: ImageBatch, params: Params) -> Middle:
        middle = super().apply(batch, params)
        batch.pixels.copy_(middle.pixels)
        return middle


@breaks("changes its input: the draw")
class WritesIntoItsDraw(Focal):
    def apply(self, batch: ImageBatch, params: Params) -> Middle:
        middle = super().apply(batch, params)
        params["radius_mm"] *= 1.1
        return middle


@breaks("gives another result on a second call with the same draw")
@dataclass(frozen=True)
class Remembers(Focal):
    calls: list[int] = field(default_factory=list)

    def apply(self, batch: ImageBatch, params: Params) -> Middle:
        self.calls.append(0)
        longer = params["radius_mm"] * (1 + 0.01 * len(self.calls))
        return super().apply(batch, {**params, "radius_mm": longer})


@breaks("uses random numbers from outside its generator")
class DrawsGlobally(Focal):
    def draw(self, batch: ImageBatch, rng: torch.Generator) -> Params:
        return {**super().draw(batch, rng), "contrast_sigma": 1 + 5 * torch.rand(len(batch))}


@breaks("uses random numbers from outside its generator")
class AppliesAtRandom(Focal):
    def apply(self, batch: ImageBatch, params: Params) -> Middle:
        sigma = params["contrast_sigma"] * (1 + 0.1 * torch.rand(len(batch)))
        return super().apply(batch, {**params, "contrast_sigma": sigma})


@breaks("advances the global random numbers of torch, numpy or random")
class SpendsGlobally(Focal):
    def draw(self, batch: ImageBatch, rng: torch.Generator) -> Params:
        torch.rand(1)
        return super().draw(batch, rng)


@breaks("draws the same from every generator")
class HasItsOwnGenerator(Focal):
    def draw(self, batch: ImageBatch, rng: torch.Generator) -> Params:
        return super().draw(batch, torch.Generator().manual_seed(1))


@breaks("treats an image differently alone and in a batch")
class LooksAtItsNeighbours(Focal):
    def apply(self, batch: ImageBatch, params: Params) -> Middle:
        sigma = params["contrast_sigma"].mean().expand(len(batch))
        return super().apply(batch, {**params, "contrast_sigma": sigma})


@breaks("changes pixels outside its change map")
class ChangesElsewhere(Focal):
    def apply(self, batch: ImageBatch, params: Params) -> Middle:
        pixels, change, _ = vars(super().apply(batch, params)).values()
        pixels[..., 0] = (pixels[..., 0] + 0.01).clamp(0, 1)
        return measured(batch, pixels, change)


@breaks("marks pixels outside the anatomy")
class MarksOutside(Focal):
    def apply(self, batch: ImageBatch, params: Params) -> Middle:
        pixels, change, _ = vars(super().apply(batch, params)).values()
        change[..., 0] = 0.05
        return measured(batch, pixels, change)


@breaks("changes images without anatomy, or calls them severe")
class NeedsNoAnatomy(Focal):
    def apply(self, batch: ImageBatch, params: Params) -> Middle:
        empty = ~batch.anatomy.flatten(1).any(1).view(-1, *(1,) * (batch.pixels.ndim - 1))
        middle = super().apply(batch, params)
        return replace(middle, pixels=torch.where(empty, batch.pixels * 0.9, middle.pixels))


@breaks("leaves most images as they are (it changes 0%)")
class DoesNothing(Focal):
    def render(self, batch: ImageBatch, params: Params) -> tuple[Tensor, Tensor]:
        new, alpha = super().render(batch, params)
        return new, alpha / 1000


@breaks("marks far more than it changes: ")
class MarksEverything(Focal):
    def apply(self, batch: ImageBatch, params: Params) -> Middle:
        return measured(batch, super().apply(batch, params).pixels, batch.anatomy.float())


@breaks("gives a severity to images in which nothing changed")
class RatesNothing(Focal):
    def apply(self, batch: ImageBatch, params: Params) -> Middle:
        middle = super().apply(batch, params)
        there = batch.anatomy.flatten(1).any(1)
        return replace(middle, severity=middle.severity.clamp_min(0.1) * there)


@breaks("has a severity that does not rise with the strength of the change")
class RatesAllAlike(Focal):
    def apply(self, batch: ImageBatch, params: Params) -> Middle:
        middle = super().apply(batch, params)
        return replace(middle, severity=(middle.severity > 0).float() / 2)


@breaks("has a severity that does not rise with the strength of the change")
class RatesUpsideDown(Focal):
    def apply(self, batch: ImageBatch, params: Params) -> Middle:
        middle = super().apply(batch, params)
        return replace(middle, severity=(1 - middle.severity) * (middle.severity > 0))


@breaks("has a severity that is not measured: ")
class InventsItsSeverity(Focal):
    def apply(self, batch: ImageBatch, params: Params) -> Middle:
        middle = super().apply(batch, params)
        return replace(middle, severity=middle.severity.sqrt())


@breaks("does not work in millimetres: ")
class WorksInSamples(Focal):
    def render(self, batch: ImageBatch, params: Params) -> tuple[Tensor, Tensor]:
        return super().render(replace(batch, spacing_mm=torch.ones_like(batch.spacing_mm)), params)


@breaks("has a sham of another shape")
class CutsItsSham(Deformation):
    def sham(self, batch: ImageBatch, params: Params) -> Tensor:
        return super().sham(batch, params)[..., 1:]


@breaks("has a sham that changes more than the operator")
class ShamsTooMuch(Focal):
    def sham(self, batch: ImageBatch, params: Params) -> Tensor:
        return torch.zeros_like(batch.pixels)


@breaks("leaves seams: its shams are told from untouched images with an AUROC of ")
@dataclass(frozen=True)
class LeavesSeams(Focal):
    contrast_sigma: tuple[float, float] = (5.0, 6.0)

    def sham(self, batch: ImageBatch, params: Params) -> Tensor:
        return batch.pixels + 0.03 * (self.apply(batch, params).change > 0.5)


@breaks("fails with ZeroDivisionError: ")
class Fails(Focal):
    def apply(self, batch: ImageBatch, params: Params) -> Middle:
        raise ZeroDivisionError


@pytest.mark.parametrize("operator", BROKEN, ids=lambda item: item.__name__)
def test_a_broken_promise_is_found_and_named(operator: type[Knowledge]) -> None:
    with pytest.raises(AssertionError) as caught:
        check_operator(operator(), example_batch())
    assert str(caught.value).startswith(f"{operator.__name__} {BROKEN[operator]}")


@pytest.mark.slow
@pytest.mark.parametrize("operator", [WorksInSamples, LeavesSeams, RatesUpsideDown])
def test_what_is_broken_in_2d_is_broken_in_3d(operator: type[Knowledge]) -> None:
    with pytest.raises(AssertionError, match=BROKEN[operator]):
        check_operator(operator(), example_batch(3))


@pytest.mark.parametrize("operator", [WorksInSamples, LeavesSeams, MarksEverything, RatesAllAlike])
def test_an_operator_that_breaks_one_promise_is_not_blamed_for_others(
    operator: type[Knowledge],
) -> None:
    found = findings(operator(), example_batch())
    assert [one.promise for one in found] == list(PROMISES)
    assert [one.state for one in found].count("ok") == len(PROMISES) - 1


@pytest.mark.slow
def test_without_a_batch_volumes_are_checked_too() -> None:
    check_operator(WritesIntoVolumes(), example_batch(2))
    with pytest.raises(AssertionError, match="changes its input: pixels"):
        check_operator(WritesIntoVolumes())


class WritesIntoVolumes(WritesIntoItsInput):
    __doc__ = WHY

    def apply(self, batch: ImageBatch, params: Params) -> Middle:
        return (super() if len(batch.spatial) == 3 else Focal()).apply(batch, params)


def test_a_refusal_in_words_is_no_broken_promise() -> None:
    batch = example_batch(size=(32, 32), spacing_mm=(2.5, 2.5))
    states = {one.promise: one for one in findings(Calcification(), batch)}
    first = states["keeps shape, type and range"]
    assert first.state == "refused"
    assert "cannot show a particle" in first.text
    assert states["marks tightly"].state == "not checked"
    with pytest.raises(InputError, match="cannot show a particle"):
        check_operator(Calcification(), batch)


def test_a_frozen_operator_with_slots_can_be_checked() -> None:
    @dataclass(frozen=True, slots=True)
    class Slotted(Focal):
        __doc__ = WHY
        more: float = 1.0

    check_operator(Slotted(), example_batch())
