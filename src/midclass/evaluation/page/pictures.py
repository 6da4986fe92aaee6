"""Pictures: small ones of cases with their heat, kept in one file from which pages are made."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import PIL.Image
from PIL import features

from midclass.errors import InputError
from midclass.evaluation.heat import HeatScale
from midclass.evaluation.panel import FloatArray, Panel, layer, rgb
from midclass.files import digest

NAME = "pictures.zip"
SHEET_WIDE = 1400
"""Pixels of a contact sheet's width at most."""
SIDE = 320
"""Pixels of the longer side at most; smaller images are kept as they are."""
FORMAT = "webp" if features.check("webp") else "png"


@contextmanager
def new_pictures(folder: Path) -> Iterator[PictureWriter]:
    """A file of pictures to fill, ``NAME`` in a folder."""
    with zipfile.ZipFile(folder / NAME, "w") as file:  # what is in it is compressed already
        yield PictureWriter(file)


class PictureWriter:
    """Adds pictures of cases, under names that tell nothing of a patient.

    Args:
        file: open for writing.
    """

    def __init__(self, file: zipfile.ZipFile) -> None:
        self._file = file

    def add(self, case_id: str, panel: Panel, scale: HeatScale) -> None:
        """Keep one case: its image, and its heat as a layer of its own where there is any colour.

        Args:
            case_id: of the score table.
            panel: image and heat; the heat lies on the image, corner to corner.
            scale: of the detector.
        """
        self._write(f"{digest(case_id)}.{FORMAT}", rgb(panel.pixels))
        if panel.heat is not None and (strength := scale(panel.heat)).any():
            self._write(f"{digest(case_id)}_heat.{FORMAT}", layer(strength))

    def _write(self, name: str, image: FloatArray) -> None:
        picture = PIL.Image.fromarray((np.clip(image, 0, 1) * 255).round().astype(np.uint8))
        picture.thumbnail((SIDE, SIDE), PIL.Image.Resampling.LANCZOS)
        self._file.writestr(zipfile.ZipInfo(name), _encoded(picture))  # without the hour


class Pictures:
    """The pictures of a run.

    Args:
        path: of the file.

    Raises:
        InputError: it is none.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with zipfile.ZipFile(path) as file:
                self._sizes = {one.filename: one.file_size for one in file.infolist()}
        except (OSError, zipfile.BadZipFile) as error:
            raise self._damaged(error) from None

    def names(self, case_id: str) -> list[str]:
        """Of the image and of its heat, where they were kept."""
        stem = digest(case_id)
        wanted = [f"{stem}{end}.{kind}" for kind in ("webp", "png") for end in ("", "_heat")]
        return [name for name in wanted if name in self._sizes]

    def size(self, case_id: str) -> int:
        """Bytes of both."""
        return sum(self._sizes[name] for name in self.names(case_id))

    def read(self, names: list[str]) -> list[bytes]:
        """The pictures of these names."""
        try:
            with zipfile.ZipFile(self._path) as file:
                return [file.read(name) for name in names]
        except (OSError, zipfile.BadZipFile, KeyError, zipfile.error) as error:
            raise self._damaged(error) from None

    def _damaged(self, error: Exception) -> InputError:
        return InputError(
            f"{self._path}: is no file of pictures ({error}); evaluate the detector again"
        )


def small_sheet(path: Path) -> bytes:
    """A contact sheet as a page shows it.

    Raises:
        InputError: it is no picture of pixels.
    """
    try:
        with PIL.Image.open(path) as picture:
            drawn = picture.convert("RGB")
    except (OSError, ValueError, SyntaxError) as error:
        raise InputError(
            f"{path}: is no picture ({error}); give a PNG that `midclass show` drew"
        ) from None
    drawn.thumbnail((SHEET_WIDE, 10 * SHEET_WIDE), PIL.Image.Resampling.LANCZOS)
    return _encoded(drawn)


def _encoded(picture: PIL.Image.Image) -> bytes:
    kept = io.BytesIO()
    picture.save(kept, FORMAT, quality=82, method=2)
    return kept.getvalue()
