"""Shown: pictures of scored images with their heat maps, and DICOM objects about them."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from midclass.detectors.base import Detector
from midclass.detectors.dicom_out import DicomOut
from midclass.detectors.heat_maps import HeatMaps
from midclass.detectors.on_source import view
from midclass.evaluation.panel import Panel, overlay_into, overlay_picture
from midclass.evaluation.table import ScoreTable
from midclass.files import NewFile, new_file
from midclass.images.prepare import Prepared
from midclass.version import __version__


@dataclass(frozen=True)
class Shown:
    """Where what is shown of each sample goes.

    Attributes:
        pictures: makes files of pictures; None for none.
        objects: makes files of DICOM objects; likewise.
        dicom: what writes them.
        room: folder with room for heat maps; None is that of the system's temporary files.
    """

    pictures: NewFile | None = None
    objects: NewFile | None = None
    dicom: DicomOut | None = None
    room: Path | None = None

    def __bool__(self) -> bool:
        return self.pictures is not None or self.dicom is not None

    def write(
        self,
        detector: Detector,
        prepared: Prepared,
        maps: HeatMaps,
        table: ScoreTable,
        first: int,
        drawn: Callable[[], object],
    ) -> None:
        """Show each sample, numbered from ``first``; ``drawn`` is called after each."""
        for row, index in enumerate(prepared.case_index):
            case, heat = int(index), maps.get(row)
            name = numbered(first + row, _file_name(prepared.cases.cases[case].case_id))
            panel = None
            if detector.makes_heat_maps:
                shown = view(prepared, row, detector.recipe, heat)
                warm = heat is not None and bool(detector.heat_(heat).any())
                panel = Panel(shown.pixels, heat=shown.heat, text=_said(table, case, warm))
            if self.pictures is not None and panel is not None:
                unseen = "" if heat is not None else "_not_assessed"  # no heat is not "normal"
                with self.pictures(f"{name}{unseen}.png") as file:
                    overlay_into(file, panel, detector.heat_)
            if self.dicom is not None and self.objects is not None:
                remark = (
                    f"Research only: not for diagnosis. midclass {__version__}, "
                    f"{detector.recipe.name}, detector {self.dicom.id}"
                )
                picture = None if panel is None else overlay_picture(panel, detector.heat_, remark)
                self.dicom.write(self.objects, name, prepared, row, table, heat, picture)
            drawn()


def files_in(folder: Path | None) -> NewFile | None:
    """What makes files in a folder that can be made again."""
    return None if folder is None else lambda name: new_file(folder / name, synced=False)


def numbered(number: int, name: str) -> str:
    """The name of a file about a sample.

    >>> numbered(7, "a.png")
    '00007_a.png'
    """
    return f"{number:05d}_{name}"


def _said(table: ScoreTable, case: int, warm: bool) -> str:
    """What stands below a picture."""
    if not table.assessed[case]:
        return f"not assessed: {table.reason[case]}"
    flag = "flagged" if table.flagged[case] else "not flagged"
    place = ", by no single place" if table.flagged[case] and not warm else ""
    p_value = table.extra["p_value"][case]
    return f"{flag}{place}: score {table.score[case]:.2f}, p {p_value:.3g}"


def _file_name(case_id: str) -> str:
    """The end of a case's name, as every file system takes it: 120 bytes of letters and digits."""
    name = re.sub(r"[^\w.-]+", "_", case_id).removesuffix(".png")
    code = sys.getfilesystemencoding()
    return name.encode(code, "ignore")[-120:].decode(code, "ignore")
