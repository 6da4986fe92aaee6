"""Store: prepared samples, a row each, in memory or as memory maps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from midclass.images.sample import Sample
from midclass.images.traits import TRAITS

if TYPE_CHECKING:
    from midclass.types import Progress

LARGEST = np.float32(65535)

NOTHING = -2
"""In place of the number of an anatomy: a row that holds no sample."""


class Attempt(NamedTuple):
    """What became of a case.

    Attributes:
        samples: one for each anatomy of the recipe by which there is one; none where it failed.
        assumed: the spacing comes from the recipe.
        reason: why there is none.
        content: see ``identity.content_of``; "" where the file cannot be opened.
        mask: the same of its mask; "" where it has none.
    """

    samples: tuple[Sample, ...]
    assumed: bool = False
    reason: str = ""
    content: str = ""
    mask: str = ""


DIED = "the process that prepared it died"
"""In the reason of a case at which a process died twice."""


class Attempts(Protocol):
    """Rows -> their attempts, in any order; where possible ``apart`` from this process."""

    def __call__(  # noqa: D102
        self, rows: list[int], *, apart: bool = False
    ) -> Iterable[tuple[int, Attempt]]: ...


@dataclass(frozen=True)
class Store:
    """Samples, one a row: those of a case by each anatomy of the recipe stand one after the other.

    Attributes:
        pixels: uint16 ``(n, c, h, w)``; 65535 is 1.
        anatomy: bool ``(n, 1, h, w)``.
        spacing_mm: float32 ``(n, 2)``.
        assumed: bool ``(n,)``: the spacing comes from the recipe.
        covered: int64 ``(n,)``: how many of its pixels are anatomy.
        contents: bytes ``(n,)``: see ``identity.content_of``.
        link: int8 ``(n,)``: by which anatomy, see ``Sample``; ``NOTHING`` where there is no sample.
        traits: float32 ``(n, t)``, see ``traits.TRAITS``.
        box: float64 ``(n, 4)``: which part of its image each shows, see ``placement``.
        source: int32 ``(n, 2)``: rows and columns of the image.
        mirrored: bool ``(n,)``: the image was mirrored before.
        failed: number of the case -> reason; such rows hold zeros.
        each: rows of each case.
    """

    pixels: NDArray[np.uint16]
    anatomy: NDArray[np.bool_]
    spacing_mm: NDArray[np.float32]
    assumed: NDArray[np.bool_]
    covered: NDArray[np.int64]
    contents: NDArray[np.bytes_]
    link: NDArray[np.int8]
    traits: NDArray[np.float32]
    box: NDArray[np.float64]
    source: NDArray[np.int32]
    mirrored: NDArray[np.bool_]
    failed: dict[int, str]
    each: int = 1

    @staticmethod
    def layout(shape: tuple[int, ...]) -> dict[str, tuple[DTypeLike, tuple[int, ...]]]:
        """Type and shape of its arrays by name, where ``shape`` is that of the pixels."""
        n = shape[0]
        return {
            "pixels": (np.uint16, shape),
            "anatomy": (bool, (n, 1, *shape[2:])),
            "spacing_mm": (np.float32, (n, 2)),
            "assumed": (bool, (n,)),
            "covered": (np.int64, (n,)),
            "contents": ("S64", (n,)),
            "link": (np.int8, (n,)),
            "traits": (np.float32, (n, len(TRAITS))),
            "box": (np.float64, (n, 4)),
            "source": (np.int32, (n, 2)),
            "mirrored": (bool, (n,)),
        }

    @classmethod
    def empty(cls, shape: tuple[int, ...], each: int = 1, **large: Any) -> Store:
        """To be filled.

        Args:
            shape: of the pixels.
            each: rows of each case.
            large: what takes the rows of ``pixels`` and ``anatomy``, by default arrays in memory.
        """
        layout = cls.layout(shape)
        arrays = {
            name: np.zeros(of, kind) for name, (kind, of) in layout.items() if name not in large
        }
        arrays["spacing_mm"][:] = 1
        arrays["link"][:] = NOTHING
        arrays["traits"][:] = np.nan
        return cls(**large, **arrays, failed={}, each=each)

    def take(self, case: int, other: Store, there: int) -> None:
        """The samples of a case from another store with as many rows of each."""
        for name in self.layout((0,)):
            mine, theirs = getattr(self, name), getattr(other, name)
            for row in range(self.each):
                mine[case * self.each + row] = theirs[there * self.each + row]

    def fill(
        self,
        attempts: Iterable[tuple[int, Attempt]],
        progress: Progress | None,
        before: int = 0,
    ) -> None:
        """Write attempts into the rows of their cases; so many cases were done before."""
        for done, (case, attempt) in enumerate(attempts, start=before + 1):
            first = case * self.each
            self.contents[first : first + self.each] = attempt.content
            self.assumed[first : first + self.each] = attempt.assumed
            if not attempt.samples:
                self.failed[case] = attempt.reason
            for sample in attempt.samples:
                self._write(first + max(sample.link, 0), sample)
            if progress is not None:
                progress(done, len(self.link) // self.each, "")

    def _write(self, row: int, sample: Sample) -> None:
        self.pixels[row] = np.rint(sample.pixels * LARGEST)
        self.anatomy[row] = sample.anatomy[None]
        self.spacing_mm[row] = sample.spacing_mm
        self.covered[row] = sample.anatomy.sum()
        self.link[row] = sample.link
        self.traits[row] = sample.traits
        self.box[row] = sample.box
        self.source[row] = sample.source
        self.mirrored[row] = sample.mirrored


def in_memory(shape: tuple[int, ...], each: int, attempts: Iterable[tuple[int, Attempt]]) -> Store:
    """A store that is not on disk; ``shape`` and ``each`` as in ``cache.fetch``."""
    store = Store.empty(shape, each)
    store.fill(attempts, None)
    return store
