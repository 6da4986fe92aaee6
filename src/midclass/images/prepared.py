"""Prepared: the samples of a cohort on the recipe's grid, as memory maps and as batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from midclass.errors import InputError
from midclass.images.cohort import Cohort
from midclass.images.manifest import Case
from midclass.images.store import LARGEST, Store

if TYPE_CHECKING:
    from midclass.types import ImageBatch


@dataclass(frozen=True, repr=False)
class Prepared:
    """Samples of the cases that could be prepared, in the order of the cohort.

    Attributes:
        cases: the cases, without those that failed.
        store: where the pixels are.
        rows: int ``(n,)``: the row of each sample in the store.
        case_index: int ``(n,)``: the row in ``cases`` of each sample.
        failed: the other cases, with the reason.
    """

    cases: Cohort
    store: Store
    rows: NDArray[np.intp]
    case_index: NDArray[np.intp]
    failed: tuple[tuple[Case, str], ...] = ()

    def __len__(self) -> int:
        """The number of samples."""
        return len(self.rows)

    def __repr__(self) -> str:
        return f"Prepared({len(self)} samples of {self.cases!r}, {len(self.failed)} failed)"

    @property
    def shape(self) -> tuple[int, ...]:
        """``(n, c, *size)``."""
        return (len(self), *self.store.pixels.shape[1:])

    @property
    def pixels(self) -> NDArray[np.uint16]:
        """uint16 ``(n, c, *size)``, 65535 being 1; the memory map itself where all are used."""
        return self.store.pixels if self._all() else self.store.pixels[self.rows]

    @property
    def anatomy(self) -> NDArray[np.bool_]:
        """Bool ``(n, 1, *size)``; a sample without any anatomy is all False, see ``assessable``."""
        return self.store.anatomy if self._all() else self.store.anatomy[self.rows]

    @property
    def spacing_mm(self) -> NDArray[np.float32]:
        """``(n, d)``, of the samples, not of the files."""
        return self.store.spacing_mm[self.rows]

    @property
    def assumed_spacing(self) -> bool:
        """Whether any spacing comes from the recipe, because file and manifest have none."""
        return bool(self.store.assumed[self.rows].any())

    @property
    def assessable(self) -> NDArray[np.bool_]:
        """``(n,)``: the samples with any anatomy; in the others disease could be nowhere."""
        return self.store.assessable[self.rows]

    @property
    def anatomy_mm2(self) -> NDArray[np.float64]:
        """Of each sample: its anatomy's area in mm^2, or volume in mm^3: ``(n,)``."""
        anatomy = self.anatomy  # a copy, where not all samples of the store are used
        samples = anatomy.sum(tuple(range(1, anatomy.ndim)), dtype=np.int64)
        size: NDArray[np.float64] = samples * self.spacing_mm.prod(1)
        return size

    def with_anatomy(self, least_mm2: float) -> NDArray[np.int64]:
        """Rows of the samples that show enough anatomy for disease to be seen in."""
        return np.flatnonzero(self.anatomy_mm2 > least_mm2)

    def batch(self, rows: Sequence[int] | NDArray[np.generic] | slice) -> ImageBatch:
        """Some of the samples as float32 tensors in [0, 1]."""
        import torch

        from midclass.types import ImageBatch

        chosen = self.rows[rows]
        return ImageBatch(
            torch.from_numpy(self.store.pixels[chosen].astype(np.float32) / LARGEST),
            torch.from_numpy(np.asarray(self.store.anatomy[chosen])),
            torch.from_numpy(self.store.spacing_mm[chosen]),
        )

    def showing(self, images: ImageBatch) -> Prepared:
        """The same cases with other pixels and anatomy, in memory: one image for each sample."""
        anatomy = images.anatomy.cpu().numpy()
        store = replace(
            self.store,
            pixels=(images.pixels.cpu() * float(LARGEST)).round().numpy().astype(np.uint16),
            anatomy=anatomy,
            spacing_mm=self.spacing_mm,
            assumed=self.store.assumed[self.rows],
            assessable=np.asarray(anatomy.any(axis=tuple(range(1, anatomy.ndim)))),
            failed={},
        )
        return replace(self, store=store, rows=np.arange(len(self)))

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
        return Prepared(
            kept,
            self.store,
            self.rows[order],
            np.repeat(np.arange(len(kept)), [len(of_case) for of_case in chosen]),
            tuple((c, reasons[c.case_id]) for c in cohort if c.case_id in reasons),
        )

    def _all(self) -> bool:
        return np.array_equal(self.rows, np.arange(len(self.store.pixels)))
