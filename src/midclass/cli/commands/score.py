"""The command ``score``: scores of images of unknown class, and pictures of their heat maps."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from midclass.cli.commands.parts import CohortImages
from midclass.cli.options import DEFAULTS, Options
from midclass.cli.outputs import Place, claimed, files_of
from midclass.detectors.saved import check_saved
from midclass.errors import InputError
from midclass.evaluation.parquet import check_installed
from midclass.evaluation.patients import has_series
from midclass.evaluation.table import NotAssessed
from midclass.images.cohort import Cohort
from midclass.study.cluster import check_engine

if TYPE_CHECKING:
    from midclass.cli.dicomweb.images import ServerImages

# What needs torch is imported when all that can be refused without it was looked at.

BLOCK = 512
"""Cases that are prepared and scored together at most; an archive does not fit into memory."""


def run(
    folder: Path,
    cohort: Cohort | ServerImages,
    options: Options = DEFAULTS,
    *,
    out: Path = Path("scores.csv"),
    heat_maps: Path | None = None,
    not_assessed: NotAssessed = "review",
    max_fpr: float | None = None,
    dicom: Path | None = None,
    date: datetime.datetime | None = None,
    equipment: bool = False,
    store: bool = False,
    engine: str = "local",
) -> bool:
    """Score cases of known or unknown class; True where all could be read, assessed and stored.

    ``date`` is that of the objects in the folder ``dicom``, by default now; ``equipment`` adds the
    columns of ``with_equipment``; ``store`` sends the objects to the server that has the images;
    for ``engine`` see ``score_engines``.
    """
    check_engine(engine)
    if engine != "local" and not isinstance(cohort, Cohort):
        raise InputError(f"--engine {engine} scores files; this process scores images of a server")
    images = CohortImages(cohort, options) if isinstance(cohort, Cohort) else cohort
    if date is not None and dicom is None:
        raise InputError("--date is that of what --dicom writes; give both, or none")
    check_installed(out)
    if store and dicom is None:
        raise InputError("--store sends what --dicom OUT writes; give both, or none")
    further = _further_tables(cohort, out)
    outputs = [Place.table(out), Place.provenance(out), *map(Place.table, further.values())]
    if heat_maps is not None:
        outputs.append(Place(heat_maps, option="--heat-maps"))
    if dicom is not None:
        from midclass.detectors.dicom_out import refuse_none

        if isinstance(cohort, Cohort):
            refuse_none(cohort)
        outputs.append(Place(dicom, option="--dicom"))

    def reads() -> Iterator[Path]:
        yield from (folder, *options.trust)
        if isinstance(cohort, Cohort):
            yield from files_of(cohort)

    with claimed(*outputs, reads=reads, overwrite=options.overwrite):
        check_saved(folder)
        from midclass.cli.commands.blocks import Wording
        from midclass.cli.commands.scoring import Outputs, score

        done = score(
            folder,
            images,
            options,
            BLOCK,
            Outputs(out, further, heat_maps, dicom, date),
            Wording(not_assessed, "series" in further, equipment),
            max_fpr=max_fpr,
            engine=engine,
        )
        if store and dicom is not None and not isinstance(cohort, Cohort) and cohort.some:
            from midclass.cli.dicomweb.store import store_folder

            done = store_folder(cohort.server, dicom) and done
        return done


def _further_tables(cohort: Cohort | ServerImages, out: Path) -> dict[str, Path]:
    """Tables of patients and of series beside that of cases; where each has one case, none.

    What a server has is known only when it was retrieved: there both may be written.
    """
    several = {"patients": True, "series": True}
    if isinstance(cohort, Cohort):
        several = {
            "patients": len(cohort.patients) < len(cohort),
            "series": has_series([case.series_id for case in cohort]),
        }
    return {
        name: out.with_name(f"{out.stem}_{name}{out.suffix}")
        for name, wanted in several.items()
        if wanted
    }
