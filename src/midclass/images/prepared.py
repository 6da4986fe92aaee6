"""Prepared: the samples of a cohort on the recipe's grid, as memory maps and as batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from midclass.errors import InputError
from midclass.images.case import Case
from midclass.images.cohort import Cohort
from midclass.images.placement import Placement
from midclass.images.sample import OF_USER
from midclass.images.store import LARGEST, NOTHING, Store
from midclass.images.traits import TRAITS, traits_of

if TYPE_CHECKING:
    from midclass.types import ImageBatch


Found = TypeVar("Found")
Rows: TypeAlias = Sequence[int] | NDArray[np.generic] | slice
"""Which of the samples."""


@dataclass(frozen=True, repr=False)
class Prepared:
    """Samples of the cases that could be prepared, in the order of the cohort.

    Attributes:
        cases: the cases, without those that failed.
        store: where the pixels are.
        rows: int ``(n,)``: the row of each sample in the store.
        case_index: int ``(n,)``: the row in ``cases`` of each sample.
        failed: the other cases, with the reason.

    What is found of samples again and again is found ``once``; nobody writes into them.
    """

    cases: Cohort
    store: Store
    rows: NDArray[np.intp]
    case_index: NDArray[np.intp]
    failed: tuple[tuple[Case, str], ...] = ()
    _found: dict[str, tuple[object, Any]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __len__(self) -> int:
        """The number of samples."""
        return len(self.rows)

    def __repr__(self) -> str:
        return f"Prepared({len(self)} samples of {self.cases!r}, {len(self.failed)} failed)"

    def once(self, what: str, whose: object, find: Callable[[], Found]) -> Found:
        """What an owner finds of these samples, found the first time that it is asked for.

        The last owner's is kept. It must not hold the samples themselves, which would then stay
        in memory.
        """
        if what not in self._found or self._found[what][0] is not whose:
            self._found[what] = whose, find()
        found: Found = self._found[what][1]
        return found

    @property
    def shape(self) -> tuple[int, ...]:
        """``(n, c, *size)``."""
        return (len(self), *self.store.pixels.shape[1:])

    def images(self, rows: Rows = slice(None)) -> NDArray[np.uint16]:
        """Pixels of some of the samples ``(m, c, *size)``, 65535 being 1; only they are read."""
        return np.asarray(self.store.pixels[self.rows[rows]])

    def masks(self, rows: Rows = slice(None)) -> NDArray[np.bool_]:
        """Anatomy of some of the samples ``(m, 1, *size)``; all False where there is none."""
        return np.asarray(self.store.anatomy[self.rows[rows]])

    @property
    def contents(self) -> list[str]:
        """What each case shows, see ``identity.content_of``."""
        first = np.unique(self.case_index, return_index=True)[1]  # sample of each case
        return [content.decode() for content in self.store.contents[self.rows[first]]]

    @property
    def spacing_mm(self) -> NDArray[np.float32]:
        """``(n, d)``, of the samples, not of the files."""
        return self.store.spacing_mm[self.rows]

    @property
    def assumed_spacing(self) -> bool:
        """Whether any spacing comes from the recipe, because file and manifest have none."""
        return bool(self.store.assumed[self.rows].any())

    @property
    def covered(self) -> NDArray[np.float64]:
        """``(n,)``: the share of each sample that is anatomy."""
        return self.store.covered[self.rows] / math.prod(self.shape[2:])

    @property
    def assessable(self) -> NDArray[np.bool_]:
        """``(n,)``: the samples with any anatomy; in the others disease could be nowhere."""
        return self.store.covered[self.rows] > 0

    @property
    def anatomy_mm2(self) -> NDArray[np.float64]:
        """Of each sample: its anatomy's area in mm^2, or volume in mm^3: ``(n,)``."""
        size: NDArray[np.float64] = self.store.covered[self.rows] * self.spacing_mm.prod(1)
        return size

    @property
    def link(self) -> NDArray[np.int8]:
        """``(n,)``: by which of the recipe's anatomies, from 0 on; -1 by a mask of the user's."""
        return self.store.link[self.rows]

    def anatomies(self, names: Sequence[str]) -> dict[str, int]:
        """How many samples are by each anatomy, of a recipe's ``anatomies``, and by a user's mask.

        Masks are there where any is.
        """
        counts = {name: int((self.link == number).sum()) for number, name in enumerate(names)}
        masks = int((self.link == OF_USER).sum())
        return {"mask": masks, **counts} if masks else counts

    @property
    def traits(self) -> NDArray[np.float32]:
        """``(n, t)``, see ``traits.TRAITS``."""
        return self.store.traits[self.rows]

    def placement(self, row: int) -> Placement:
        """Where one of the samples lies in its source image."""
        at = self.rows[row]
        top, left, bottom, right = self.store.box[at].tolist()
        rows, columns = self.store.source[at].tolist()
        return Placement((top, left, bottom, right), (rows, columns), bool(self.store.mirrored[at]))

    def at(self, rows: NDArray[np.int64]) -> Prepared:
        """Some of the samples, as those of the same cases."""
        return replace(self, rows=self.rows[rows], case_index=self.case_index[rows])

    def by_link(self) -> list[Prepared]:
        """The samples by the first of the recipe's anatomies, by the second, and so on.

        Where there is no sample by an anatomy, it has none at all and its link is ``NOTHING``.
        """
        first = self.rows - self.rows % self.store.each
        return [replace(self, rows=first + link) for link in range(self.store.each)]

    def by_first(self, good: Sequence[NDArray[np.bool_]]) -> Prepared:
        """Each sample by the first anatomy that is good for it, or else by the last.

        Args:
            good: bool ``(n,)`` for each of ``by_link``.
        """
        rows = np.full(len(self), -1, np.intp)
        options = self.by_link()
        for one, fits in zip(options, good, strict=True):
            rows = np.where((rows < 0) & fits, one.rows, rows)
        for one in reversed(options):
            rows = np.where((rows < 0) & (one.link != NOTHING), one.rows, rows)
        return replace(self, rows=rows)

    def with_anatomy(self, least_mm2: float) -> NDArray[np.int64]:
        """Rows of the samples that show enough anatomy for disease to be seen in."""
        return np.flatnonzero(self.anatomy_mm2 > least_mm2)

    def batch(self, rows: Rows) -> ImageBatch:
        """Some of the samples as float32 tensors in [0, 1]."""
        import torch

        from midclass.types import ImageBatch

        return ImageBatch(
            torch.from_numpy(self.images(rows).astype(np.float32) / LARGEST),
            torch.from_numpy(self.masks(rows)),
            torch.from_numpy(self.store.spacing_mm[self.rows[rows]]),
        )

    def showing(self, images: ImageBatch) -> Prepared:
        """The same cases with other pixels and anatomy, in memory: one image for each sample.

        What lies around their anatomy, and how fine their files are, is as it was.
        """
        anatomy = images.anatomy.cpu().numpy()
        traits = self.traits.copy()
        for row, pixels in enumerate(images.pixels.cpu().numpy()):
            everywhere = np.ones(anatomy.shape[2:], bool)
            traits[row] = traits_of(
                pixels, anatomy[row, 0], self.spacing_mm[row], everywhere, pixels
            )
        for name in ("rim", "border", "fineness"):
            traits[:, TRAITS.index(name)] = self.traits[:, TRAITS.index(name)]
        store = replace(
            self.store,
            pixels=(images.pixels.cpu() * float(LARGEST)).round().numpy().astype(np.uint16),
            anatomy=anatomy,
            spacing_mm=self.spacing_mm,
            assumed=self.store.assumed[self.rows],
            covered=anatomy.sum(tuple(range(1, anatomy.ndim)), dtype=np.int64),
            contents=self.store.contents[self.rows],
            link=self.link,
            traits=traits,
            box=np.array([self.placement(row).box for row in range(len(self))]).reshape(-1, 4),
            source=self.store.source[self.rows],
            mirrored=self.store.mirrored[self.rows],
            failed={},
            each=1,
        )
        return Prepared(self.cases, store, np.arange(len(self)), self.case_index, self.failed)

    def subset(self, cohort: Cohort) -> Prepared:
        """The samples of some of the cases, by ``case_id``, in the order of the cohort.

        Raises:
            InputError: a case was not prepared.
        """
        samples: dict[str, list[int]] = {case.case_id: [] for case in self.cases}
        for sample, index in enumerate(self.case_index):
            samples[self.cases.cases[index].case_id].append(sample)
        reasons = {case.case_id: reason for case, reason in self.failed}
        for case in cohort:
            if case.case_id not in samples and case.case_id not in reasons:
                raise InputError(f"case {case.case_id} was not prepared with the others")
        found = [k for k, case in enumerate(cohort) if case.case_id in samples]
        kept = cohort[found]
        chosen = [samples[case.case_id] for case in kept]
        order = np.array([sample for of_case in chosen for sample in of_case], np.intp)
        return replace(
            self.at(order),
            cases=kept,
            case_index=np.repeat(np.arange(len(kept)), [len(of_case) for of_case in chosen]),
            failed=tuple((c, reasons[c.case_id]) for c in cohort if c.case_id in reasons),
        )
