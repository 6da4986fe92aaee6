"""The command ``score``: scores of images of unknown class, and pictures of their heat maps."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path

from midclass.cli.options import DEFAULTS, Options
from midclass.cli.outputs import Place, claimed, files_of
from midclass.detectors.saved import check_saved
from midclass.errors import InputError
from midclass.evaluation.parquet import check_installed
from midclass.evaluation.patients import has_series
from midclass.evaluation.table import NotAssessed
from midclass.images.cohort import Cohort
from midclass.study.cluster import check_engine

# What needs torch is imported when all that can be refused without it was looked at.

BLOCK = 512
"""Cases that are prepared and scored together at most; an archive does not fit into memory."""


def run(
    folder: Path,
    cohort: Cohort,
    options: Options = DEFAULTS,
    *,
    out: Path = Path("scores.csv"),
    heat_maps: Path | None = None,
    not_assessed: NotAssessed = "review",
    max_fpr: float | None = None,
    dicom: Path | None = None,
    date: datetime.datetime | None = None,
    equipment: bool = False,
    engine: str = "local",
) -> bool:
    """Score cases of known or unknown class; True where all could be read and assessed.

    ``date`` is that of the objects in the folder ``dicom``, by default now; ``equipment`` adds the
    columns of ``with_equipment``; for ``engine`` see ``score_engines``.
    """
    check_engine(engine)
    if date is not None and dicom is None:
        raise InputError("--date is that of what --dicom writes; give both, or none")
    check_installed(out)
    further = _further_tables(cohort, out)
    outputs = [Place.table(out), Place.provenance(out), *map(Place.table, further.values())]
    if heat_maps is not None:
        outputs.append(Place(heat_maps, option="--heat-maps"))
    if dicom is not None:
        from midclass.detectors.dicom_out import refuse_none

        refuse_none(cohort)
        outputs.append(Place(dicom, option="--dicom"))

    def reads() -> Iterator[Path]:
        yield from (folder, *options.trust)
        yield from files_of(cohort)

    with claimed(*outputs, reads=reads, overwrite=options.overwrite):
        check_saved(folder)
        from midclass.cli.commands.blocks import Wording
        from midclass.cli.commands.scoring import Outputs, score

        return score(
            folder,
            cohort,
            options,
            BLOCK,
            Outputs(out, further, heat_maps, dicom, date),
            Wording(not_assessed, "series" in further, equipment),
            max_fpr=max_fpr,
            engine=engine,
        )


def _further_tables(cohort: Cohort, out: Path) -> dict[str, Path]:
    """Tables of patients and of series beside that of cases; where each has one case, none."""
    several = {
        "patients": len(cohort.patients) < len(cohort),
        "series": has_series([case.series_id for case in cohort]),
    }
    return {
        name: out.with_name(f"{out.stem}_{name}{out.suffix}")
        for name, wanted in several.items()
        if wanted
    }
