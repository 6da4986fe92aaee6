"""Search: which images of a server are to be scored, and which are not, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from midclass.cli.dicomweb.answers import UID, RemoteImage, RemoteSeries
from midclass.errors import InputError
from midclass.evaluation.dicom.uids import MAKER, series_uid
from midclass.images.formats.dicom_attributes import keyword_of
from midclass.images.formats.dicom_file import WITHOUT_PIXELS

NO_PICTURES = frozenset((*WITHOUT_PIXELS, "SEG", "RTDOSE"))
"""Modalities of series that hold no pictures of a patient."""
OURS = "made by midclass"
SCORED = "already scored by this detector"


class Archive(Protocol):
    """What is asked of a server; see ``DicomWeb``."""

    url: str

    def studies(self, filters: Mapping[str, str]) -> list[str]:
        """UIDs of the studies with such attributes."""
        ...

    def series(self, study: str) -> list[RemoteSeries]:
        """The series of a study."""
        ...

    def images(self, series: RemoteSeries) -> list[RemoteImage]:
        """The instances of a series."""
        ...

    def reported(self, study: str, series: str) -> set[str]:
        """UIDs of the images that the reports of a series are about."""
        ...


@dataclass(frozen=True)
class Search:
    """Which images of a server.

    Attributes:
        studies: StudyInstanceUIDs.
        series: of their series these alone, by SeriesInstanceUID; empty for all.
        queries: further studies, by attribute: keyword -> what it must be, as QIDO-RS has it.
        again: also those of which the server holds a report by the same detector.
    """

    studies: tuple[str, ...] = ()
    series: tuple[str, ...] = ()
    queries: tuple[tuple[str, str], ...] = ()
    again: bool = False

    @classmethod
    def of(
        cls,
        studies: Sequence[str],
        series: Sequence[str] = (),
        queries: Sequence[str] = (),
        again: bool = False,
    ) -> Search:
        """Of the command line.

        Raises:
            InputError: a UID is none, a query has no attribute of DICOM, or nothing is asked for.

        >>> Search.of([], queries=["studydate = 20261101-"]).queries
        (('StudyDate', '20261101-'),)
        """
        for option, uids in (("--study", studies), ("--series", series)):
            for uid in uids:
                if not UID.fullmatch(uid) or len(uid) > 64:
                    raise InputError(f"{option} {uid[:80]}: expected a UID, such as 1.2.840.1")
        if not studies and not queries:
            raise InputError(
                "--dicomweb needs --study UID, or --query ATTRIBUTE=VALUE such as "
                "StudyDate=20261128; else a whole archive would be scored"
            )
        return cls(tuple(studies), tuple(series), tuple(map(_query, queries)), again)

    def found(self, server: Archive) -> tuple[str, ...]:
        """The studies, each once.

        Raises:
            InputError: the server cannot be asked, or there is none.
        """
        by_query = server.studies(dict(self.queries)) if self.queries else []
        studies = tuple(dict.fromkeys((*self.studies, *by_query)))
        if not studies:
            said = ", ".join(f"{name}={value}" for name, value in self.queries)
            raise InputError(f"{server.url}: holds no study with {said}; ask for another --query")
        return studies

    def images(
        self,
        server: Archive,
        studies: Sequence[str],
        modalities: Sequence[str],
        detector: str,
        passed: Counter[str],
    ) -> list[RemoteImage]:
        """The images to score, study by study.

        Args:
            server: that holds them.
            studies: see ``found``.
            modalities: that the detector's recipe accepts; empty for any with pictures.
            detector: SHA-256 of its ``detector.json``.
            passed: gets how many series, or images, are passed over, by reason.

        Raises:
            InputError: the server cannot be asked, or does not hold a study, or any of the series.
        """
        found, missing = list[RemoteImage](), set(self.series)
        for study in studies:
            listed = server.series(study)
            if not listed:
                raise InputError(f"{server.url}: holds no study {study}; look at --study")
            missing -= {one.uid for one in listed}
            for one in self._of_use(listed, modalities, passed):
                found += self._new(server, one, listed, detector, passed)
        if missing:
            raise InputError(
                f"{server.url}: no series {min(missing)} is in these studies; look at --series"
            )
        return found

    def _of_use(
        self, listed: Sequence[RemoteSeries], modalities: Sequence[str], passed: Counter[str]
    ) -> Iterator[RemoteSeries]:
        for one in listed:
            if self.series and one.uid not in self.series:
                continue
            if one.description.startswith(f"{MAKER} "):
                passed[f"series {OURS}"] += 1
            elif one.modality and (
                one.modality in NO_PICTURES or (modalities and one.modality not in modalities)
            ):
                passed[f"series of Modality {one.modality}"] += 1
            else:
                yield one

    def _new(
        self,
        server: Archive,
        series: RemoteSeries,
        listed: Sequence[RemoteSeries],
        detector: str,
        passed: Counter[str],
    ) -> list[RemoteImage]:
        """The images of a series of which no report by the detector is there."""
        images = server.images(series)
        reports = series_uid("report", detector, series.study, series.uid)
        if self.again or reports not in {one.uid for one in listed}:
            return images
        known = server.reported(series.study, reports)
        new = [one for one in images if one.uid not in known]
        if len(new) < len(images):
            passed[f"images {SCORED}"] += len(images) - len(new)
        return new


def _query(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign or not value.strip():
        raise InputError(
            f"--query {text[:80]!r}: expected ATTRIBUTE=VALUE, such as StudyDate=20261128"
        )
    try:
        return keyword_of(name.strip()), value.strip()
    except InputError as error:
        raise InputError(f"--query {text[:80]!r}: {error}") from None
