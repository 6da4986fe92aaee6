"""Images of a server: retrieved, held in memory while they are scored, and kept nowhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from midclass.cli.commands.parts import Parts
from midclass.cli.console import note, say
from midclass.cli.dicomweb.answers import RemoteImage
from midclass.cli.dicomweb.search import OURS, Search
from midclass.cli.dicomweb.server import DicomWeb, NotGivenError
from midclass.errors import NoImage
from midclass.images.case import Case
from midclass.images.cohort import Cohort
from midclass.images.folders import cases_of_files
from midclass.images.formats.holding import images_in
from midclass.images.kin import kin_of
from midclass.images.planes import plane_of_first
from midclass.images.private import unwritten
from midclass.images.series import FoundFile

if TYPE_CHECKING:
    from midclass.detectors.base import Detector
    from midclass.recipe.recipe import Recipe
    from midclass.types import Progress

HELD = 128
"""Images that are in memory at once, at most; each takes an open file."""
HELD_BYTES = 512 * 2**20
"""Bytes after which no further image is taken before these are scored."""
SERIES_HELD, SERIES_BYTES = 5 * HELD, 4 * HELD_BYTES
"""The same within a series whose slices are scored with their neighbours, or a study whose sides
are compared: a longer one is scored in parts, and images at their ends lack a neighbour."""


@dataclass
class ServerImages:
    """Images of a DICOMweb server.

    A case is named by its SOPInstanceUID; a patient, and a series, after the first of their images.

    Args:
        server: that holds them.
        search: which.

    Raises:
        InputError: the server cannot be asked, or holds no such study.
    """

    server: DicomWeb
    search: Search
    passed: Counter[str] = field(default_factory=Counter)
    _names: dict[object, str] = field(default_factory=dict)
    _listed: Sequence[RemoteImage] = ()

    def __post_init__(self) -> None:
        self._studies = self.search.found(self.server)

    @property
    def some(self) -> bool:
        """Whether any was found."""
        return bool(self._listed)

    def find(self, detector: Detector) -> int:
        """How many images are to be scored; see ``Search.images``."""
        from midclass.detectors.saved import known_id

        self._listed = self.search.images(
            self.server,
            self._studies,
            detector.recipe.accepts.modality,
            known_id(detector),
            self.passed,
        )
        if not self._listed:
            self.tell()
            say(f"nothing to score: no new image in {len(self._studies)} studies; no table written")
        return len(self._listed)

    def parts(self, detector: Detector, size: int, progress: Progress) -> Parts:
        """Images in order, at most so many cases at a time."""
        from midclass.images.prepare import prepare_unkept
        from midclass.images.rules import Rules

        rules, done, geometry = Rules(detector.recipe), 0, detector.recipe.geometry
        while done < len(self._listed):
            with ExitStack() as held:
                files, missing, taken = self._retrieved(done, held, detector.recipe)
                done += taken
                progress(done, len(self._listed), "")
                cases = Cohort(cases_of_files(files, self._names), self.server.url)
                for part in cases.blocks(size, geometry):
                    yield part, prepare_unkept(part, rules)
                if missing:
                    none = Cohort(tuple(case for case, _ in missing), self.server.url)
                    empty = prepare_unkept(none[:0], rules)
                    yield none, replace(empty, failed=tuple(missing))

    def tell(self) -> None:
        """What was passed over, and why."""
        if self.passed:
            said = ", ".join(f"{why} ({count})" for why, count in self.passed.most_common())
            note(f"passed over: {said}")

    def _retrieved(
        self, done: int, held: ExitStack, recipe: Recipe
    ) -> tuple[list[FoundFile], list[tuple[Case, str]], int]:
        """The next images, and those that the server does not give; how many were asked for.

        Slices whose neighbours count are taken until their series ends, or is too large; where the
        other side counts, likewise until the study ends.
        """
        files, missing, taken, size = list[FoundFile](), list[tuple[Case, str]](), 0, 0
        geometry, planes = recipe.geometry, recipe.accepts.plane
        whole, begun, kin = "", 0, kin_of(geometry)
        for image in islice(self._listed, done, None):
            its = image.series if geometry.compare is None else image.study
            if its != whole:
                whole, begun = its, taken
            goes_on = kin and 0 < taken - begun < SERIES_HELD and size < SERIES_BYTES
            if (taken >= HELD or size >= HELD_BYTES) and not goes_on:
                break
            taken += 1
            try:
                found = self.server.retrieve(image)
            except NotGivenError as error:
                path = held.enter_context(unwritten(b""))  # a case has a file, if an empty one
                missing.append((self._unknown(image, path), str(error)))
            else:
                path = held.enter_context(unwritten(found.content))
                if found.ours:
                    self.passed[f"images {OURS}"] += 1
                elif planes and (plane := plane_of_first(path)) and plane not in planes:
                    self.passed[f"{plane} images"] += 1
                elif count := self._images_in(path):
                    files.append(FoundFile(path, image.uid, count))
                size += len(found.content)
        return files, missing, taken

    def _images_in(self, path: Path) -> int:
        """How many images a file is; 0 where it says itself that it is none."""
        try:
            return images_in(path)
        except NoImage as error:
            self.passed[f"objects that are {str(error).partition('holds no image: ')[2]}"] += 1
            return 0

    def _unknown(self, image: RemoteImage, path: Path) -> Case:
        """An image of which only its UID is known."""
        return Case(image.uid, path, None, image.uid, series_id=self._names.get(image.series, ""))
