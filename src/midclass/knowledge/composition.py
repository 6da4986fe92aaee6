"""Composition: several operators as one middle class, together, in turn, or many times."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from midclass.errors import InputError
from midclass.knowledge.base import Knowledge, unblended
from midclass.types import ImageBatch, Params, of_rows


class Composition(Knowledge):
    """Knowledge made of other knowledge, which goes into an image one after the other.

    The draws of the parts are kept side by side, part k's as ``"k.name"``; ``present`` says which
    parts go into which image. One lerp after another is a single lerp::

        1 - alpha = (1 - alpha_1) (1 - alpha_2) ...       # a sample is changed by any of its parts
        new = old + (pixels - old) / alpha                # between the parts' new, so in [0, 1]

    so a composition fills the same two holes as any operator, and the base keeps the same
    promises: severity is measured once, after everything is in. Only the sham is put together
    here: blended again, the parts' shams would fade.
    """

    border_mm: ClassVar[float] = 0.0  # each part ends softly, or not, by its own border

    alone: ClassVar[bool] = False
    """Whether each part is rendered as if it were the only one, else on what is there so far."""

    @property
    @abstractmethod
    def parts(self) -> tuple[Knowledge, ...]:
        """What goes in, in order."""

    @abstractmethod
    def present(self, n: int, rng: torch.Generator) -> Tensor:
        """Bool ``(n, parts)``: which parts go into which of n images."""

    def draw(self, batch: ImageBatch, rng: torch.Generator) -> Params:
        """The draws of all parts for all images, and which of them count."""
        drawn = [part.draw(batch, rng) for part in self.parts]
        together = {f"{k}.{name}": v for k, one in enumerate(drawn) for name, v in one.items()}
        return {**together, "present": self.present(len(batch), rng)}

    def render(self, batch: ImageBatch, params: Params) -> tuple[Tensor, Tensor]:
        """The tissue and the share that all parts have in the end."""
        pixels, kept = batch.pixels.clone(), torch.ones_like(batch.anatomy, dtype=torch.float32)
        for part, rows, drawn in self._turns(batch, params):
            seen = (batch if self.alone else batch.with_pixels(pixels))[rows]
            middle = part.apply(seen, drawn)
            # lerp(pixels, the part's new, change), without a division:
            pixels[rows] = (1 - middle.change) * (pixels[rows] - seen.pixels) + middle.pixels
            kept[rows] *= 1 - middle.change
        return unblended(batch, pixels, 1 - kept)

    def sham(self, batch: ImageBatch, params: Params) -> Tensor:
        """The shams of the parts, one after the other."""
        pixels = batch.pixels.clone()
        for part, rows, drawn in self._turns(batch, params):
            pixels[rows] = part.sham(batch.with_pixels(pixels)[rows], drawn)
        return pixels

    def _turns(
        self, batch: ImageBatch, params: Params
    ) -> Iterator[tuple[Knowledge, Tensor, Params]]:
        """Each part that any image has, the rows of these images, and its draw for them."""
        for k, part in enumerate(self.parts):
            rows = params["present"][:, k].nonzero().squeeze(1)
            if len(rows):
                drawn = {
                    name.removeprefix(f"{k}."): values
                    for name, values in params.items()
                    if name.startswith(f"{k}.")
                }
                yield part, rows.to(batch.pixels.device), of_rows(drawn, rows)


@dataclass(frozen=True)
class AllOf(Composition):
    """All operators on the same image, in order, such as a mass that pulls and calcifies.

    Why: findings come together, and together they mean more. A mass is reported with what goes
    with it: calcifications in it, distortion and retraction around it (ACR BI-RADS Atlas, 5th
    ed., 2013, "associated features").

    Args:
        operators: what goes in; the later ones see the image with the earlier ones in it.
        together: all that have a place take the first one's; false puts each somewhere else.

    >>> from midclass.knowledge.calcification import Calcification
    >>> from midclass.knowledge.focal import Focal
    >>> batch = ImageBatch.of(torch.rand(2, 1, 48, 48))
    >>> params = AllOf((Focal(), Calcification())).draw(batch, torch.Generator().manual_seed(0))
    >>> bool((params["0.place"] == params["1.place"]).all())
    True
    """

    operators: tuple[Knowledge, ...]
    together: bool = True

    def __post_init__(self) -> None:
        _not_empty(self)

    @property
    def parts(self) -> tuple[Knowledge, ...]:
        """The operators."""
        return self.operators

    def present(self, n: int, rng: torch.Generator) -> Tensor:
        """All in every image."""
        return torch.ones(n, len(self.operators), dtype=torch.bool)

    def draw(self, batch: ImageBatch, rng: torch.Generator) -> Params:
        """The draws of all, at the first place if they belong together."""
        params = super().draw(batch, rng)
        places = [name for name in params if name.split(".", 1)[1:] == ["place"]]
        for name in places[1:] if self.together else ():
            if params[name].shape == params[places[0]].shape:
                params[name] = params[places[0]]
        return params


@dataclass(frozen=True)
class OneOf(Composition):
    """One of the operators on each image, each as likely as the others.

    Why: one disease has several faces that need not be told apart. Pneumonia on a child's
    radiograph is consolidation or another infiltrate, and the WHO defines the two as different
    readings of it (Cherian et al., Bull World Health Organ 83:353, 2005).

    Args:
        operators: to choose from.

    >>> from midclass.knowledge.focal import Focal
    >>> either = OneOf((Focal(sign="bright"), Focal(sign="dark")))
    >>> either.present(1000, torch.Generator().manual_seed(0)).sum(1).unique().tolist()
    [1]
    """

    operators: tuple[Knowledge, ...]

    def __post_init__(self) -> None:
        _not_empty(self)

    @property
    def parts(self) -> tuple[Knowledge, ...]:
        """The operators."""
        return self.operators

    def present(self, n: int, rng: torch.Generator) -> Tensor:
        """One in each image."""
        which = torch.randint(len(self.operators), (n, 1), generator=rng)
        return which == torch.arange(len(self.operators))


@dataclass(frozen=True)
class Foci(Composition):
    """The same operator several times on each image, each focus with a draw of its own.

    Each focus is rendered on the given-class tissue: foci that overlap do not add up, and the
    contrast of one is not measured against the unrest that the others make.

    Why: what spreads by blood or by air makes many foci. Of 288 patients with brain metastases
    51 % had more than one and 11 % five or more (Delattre et al., Arch Neurol 45:741, 1988).

    Args:
        operator: makes one focus.
        count: least and largest number of foci, each number as likely as the others.

    >>> from midclass.knowledge.focal import Focal
    >>> drawn = Foci(Focal(), (2, 4)).present(1000, torch.Generator().manual_seed(0))
    >>> drawn.sum(1).unique().tolist()
    [2, 3, 4]
    """

    operator: Knowledge
    count: tuple[int, int]

    alone: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not 1 <= self.count[0] <= self.count[1]:
            raise InputError(f"Foci: count is {self.count}, expected (low, high), 1 <= low <= high")

    @property
    def parts(self) -> tuple[Knowledge, ...]:
        """As many as there can be."""
        return (self.operator,) * self.count[1]

    def present(self, n: int, rng: torch.Generator) -> Tensor:
        """The first ones, as many as are drawn."""
        low, high = self.count
        return torch.arange(high) < torch.randint(low, high + 1, (n, 1), generator=rng)


def _not_empty(composition: AllOf | OneOf) -> None:
    if not composition.operators:
        raise InputError(f"{type(composition).__name__}: no operators; give one or more")
