"""Heat maps: kept in a file while scores are made, and drawn when it is known which to draw."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from os import SEEK_END
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import numpy as np
from numpy.typing import NDArray

from midclass.detectors.look import Look


@contextmanager
def kept_heat_maps(folder: Path | None = None) -> Iterator[HeatMaps]:
    """A place for heat maps, until the block ends.

    Where there is room for them, in the folder or among the system's temporary files.
    """
    with TemporaryFile(dir=folder) as file:
        yield HeatMaps(file)


class HeatMaps:
    """The heat maps of samples, each seen once; in a file, since those of an archive are many.

    Args:
        file: empty, open for writing and reading bytes.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._place: dict[int, int] = {}  # of each sample's map in the file
        self._hottest: dict[int, float] = {}
        self._spatial: tuple[int, ...] = ()

    def keeping(self, looks: Iterable[Look], first: int = 0) -> Iterator[Look]:
        """The looks themselves; their maps are kept on the way, under their rows from ``first``."""
        for look in looks:
            if look.maps is not None:
                self._file.seek(0, SEEK_END)
                self._file.write(look.maps.astype(np.float32).tobytes())
                highest = look.maps.reshape(len(look.rows), -1).max(1)
                for row, heat in zip(look.rows.tolist(), highest.tolist(), strict=True):
                    self._place[first + row] = len(self._place)
                    self._hottest[first + row] = heat
                self._spatial = look.maps.shape[1:]
            yield look

    def get(self, row: int) -> NDArray[np.float32] | None:
        """The map of one sample, ``(*spatial)``; None where none was seen."""
        if row not in self._place:
            return None
        size = 4 * int(np.prod(self._spatial))
        self._file.seek(self._place[row] * size)
        return np.frombuffer(self._file.read(size), np.float32).reshape(self._spatial)

    def hottest(self, rows: NDArray[np.int64]) -> int:
        """Of some samples the one with the highest heat; the first where no map was seen."""
        samples: list[int] = rows.tolist()
        return max(samples, key=lambda row: self._hottest.get(row, -1.0))
