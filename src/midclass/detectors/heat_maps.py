"""Heat maps: kept in a file while scores are made, and drawn when the scale of all is known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import numpy as np
from numpy.typing import NDArray

from midclass.detectors.base import Look


@contextmanager
def kept_heat_maps(shape: tuple[int, ...], folder: Path) -> Iterator[HeatMaps]:
    """A place for the heat maps of n samples, until the block ends.

    Args:
        shape: ``(n, *spatial)``.
        folder: where there is room for their file.
    """
    with TemporaryFile(dir=folder) as file:
        yield HeatMaps(shape, file)


class HeatMaps:
    """The heat maps of n samples, each seen once; in a file, since those of an archive are many.

    Args:
        shape: ``(n, *spatial)``.
        file: empty, open for writing and reading bytes.
    """

    def __init__(self, shape: tuple[int, ...], file: IO[bytes]) -> None:
        self._spatial, self._file = shape[1:], file
        self._place = np.full(shape[0], -1)  # of each sample's map in the file
        self._seen = 0
        self._values = np.zeros(2**16, np.int64)  # how often each half-precision number occurs

    def keeping(self, looks: Iterable[Look]) -> Iterator[Look]:
        """The looks themselves; their maps are kept on the way."""
        for look in looks:
            if look.maps is not None:
                inside = look.maps[look.images.anatomy.squeeze(1).cpu().numpy()]
                bits = inside.astype(np.float16).view(np.uint16)
                self._values += np.bincount(bits, minlength=2**16)
                self._file.write(look.maps.astype(np.float32).tobytes())
                self._place[look.rows] = self._seen + np.arange(len(look.maps))
                self._seen += len(look.maps)
            yield look

    def __getitem__(self, row: int) -> NDArray[np.float32]:
        """The map of one sample, ``(*spatial)``; 0 everywhere where none was seen."""
        if self._place[row] < 0:
            return np.zeros(self._spatial, np.float32)
        size = 4 * int(np.prod(self._spatial))
        self._file.seek(int(self._place[row]) * size)
        return np.frombuffer(self._file.read(size), np.float32).reshape(self._spatial)

    @property
    def scale(self) -> tuple[float, float]:
        """The median of all maps inside the anatomy, and the highest value, in half precision."""
        count = int(self._values.sum())
        if not count:
            return 0.0, 1.0
        # Of numbers from 0 up, half precision has the order of its bits.
        upto = self._values.cumsum()
        middle = np.searchsorted(upto, [(count - 1) // 2, count // 2], side="right")
        highest = int(np.flatnonzero(self._values)[-1])
        low, high = middle.astype(np.uint16).view(np.float16), np.uint16(highest).view(np.float16)
        median = float(np.mean(low))
        return median, max(float(high), median + 0.01)
