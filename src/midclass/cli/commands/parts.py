"""Parts: what is scored, found first and then prepared so many images at a time."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from midclass.cli.commands.source import tell_kinds
from midclass.cli.options import DEFAULTS, Options
from midclass.images.cohort import Cohort

if TYPE_CHECKING:
    from midclass.detectors.base import Detector
    from midclass.images.prepared import Prepared
    from midclass.types import Progress

Parts: TypeAlias = "Generator[tuple[Cohort, Prepared], None, None]"
"""Some cases at a time, in order, and what could be prepared of them."""


class Images(Protocol):
    """Where images to score come from."""

    def find(self, detector: Detector) -> int:
        """How many there are for a detector; 0 where nothing is left to do, which is told."""
        ...

    def parts(self, detector: Detector, size: int, progress: Progress) -> Parts:
        """The images, at most so many cases at a time; more where ``Cohort.blocks`` says so."""
        ...

    def tell(self) -> None:
        """What is known of them only when all were looked at."""
        ...


@dataclass(frozen=True)
class CohortImages:
    """The images of a cohort, from files.

    Attributes:
        cohort: the cases.
        options: where prepared images are kept, and how many processes prepare.
    """

    cohort: Cohort
    options: Options = DEFAULTS

    def find(self, detector: Detector) -> int:
        """The number of cases."""
        tell_kinds(self.cohort, detector.recipe)
        return len(self.cohort)

    def parts(self, detector: Detector, size: int, progress: Progress) -> Parts:
        """The cases as ``prepare_blocks`` has them."""
        from midclass.images.prepare import prepare_blocks

        blocks = prepare_blocks(
            self.cohort,
            detector.recipe,
            size,
            cache=self.options.cache,
            progress=progress,
            jobs=self.options.jobs,
        )
        try:
            for cases in self.cohort.blocks(size, detector.recipe.geometry):
                yield cases, next(blocks)
        finally:
            blocks.close()

    def tell(self) -> None:
        """Nothing."""
