"""Fingerprint: what of an image survives another file format, compression, size or window.

Each image is decoded once; what was found is kept beside the prepared images, by what the file
holds, so that it is not decoded for this again, also after a copy of its folder.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from os import SEEK_END
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import imagehash
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from midclass.errors import STOPS, InputError
from midclass.images.change import settled
from midclass.images.entries import FINGERPRINTS
from midclass.images.identity import content_if_readable
from midclass.images.keys import own_folder, state_of_file
from midclass.images.private import open_new, open_own
from midclass.images.sample import Pixels, with_channels

if TYPE_CHECKING:
    from midclass.images.case import Case
    from midclass.images.cohort import Cohort
    from midclass.types import Progress

SIDE = 64
"""Of the thumbnail by which a near copy is confirmed, in pixels."""
BITS = 256
"""Of the perceptual hash: those of 64 bits are equal for many chest X-rays of two people."""
LIMIT_BYTES = 2 * 2**30
"""A larger file of fingerprints is begun anew."""
_VERSION = 2  # of how fingerprints are made; those of other versions are not used
_TABLE = "fingerprint (key PRIMARY KEY, pixels, perceptual, thumbnail)"
Bits: TypeAlias = NDArray[np.bool_]
Known: TypeAlias = tuple[str, bytes, bytes]
"""All of a fingerprint but the content."""


class Fingerprint(NamedTuple):
    """Of one image.

    Attributes:
        content: see ``identity.content_of``; "" where it cannot be read, and nothing else is known.
        pixels: hash of the decoded pixels in [0, 1]: equal for two lossless formats.
        perceptual: pHash (DCT of 64 px, the lowest 16 x 16 frequencies against their median;
            Zauner, Upper Austria University of Applied Sciences, 2010), packed in 32 bytes.
        thumbnail: ``(64, 64)`` bytes, row by row; empty for an image of one value.
    """

    content: str
    pixels: str = ""
    perceptual: bytes = b""
    thumbnail: bytes = b""


@dataclass(frozen=True)
class Fingerprints:
    """Of the cases of a cohort, in its order.

    Attributes:
        cohort: the cases.
        each: their fingerprints; cases of one image share theirs.
    """

    cohort: Cohort
    each: tuple[Fingerprint, ...]


def fingerprint_of(pixels: Pixels) -> Known:
    """What is known of one image ``(c, h, w)``, or of a volume ``(c, d, h, w)``.

    Perceptual hash and thumbnail of a volume are those of its middle slice, or of that with the
    widest range where this one has one value.

    >>> ramp = np.linspace(0, 1, 4096, dtype=np.float32).reshape(1, 64, 64)
    >>> dark, bright = fingerprint_of(ramp * 0.5), fingerprint_of(ramp)
    >>> dark[0] == bright[0], dark[1] == bright[1]
    (False, True)
    """
    if len(pixels) == 3 and (pixels[0] == pixels[1]).all() and (pixels[0] == pixels[2]).all():
        pixels = pixels[:1]  # grey in a format that only has colours
    exact = sha256(f"{pixels.shape}".encode() + np.ascontiguousarray(pixels).tobytes()).hexdigest()
    plane = pixels
    if pixels.ndim == 4:
        plane = pixels[:, pixels.shape[1] // 2]
        if not np.ptp(plane):
            plane = pixels[:, np.ptp(pixels, axis=(0, 2, 3)).argmax()]
    grey = with_channels(plane, 1)[0]
    step = max(1, min(grey.shape) // 512)  # percentiles need no more
    low, high = np.percentile(grey[::step, ::step], (0.5, 99.5))
    if high - low < 1e-6:
        low, high = float(grey.min()), float(grey.max())
    if high - low < 1e-6:
        return exact, b"", b""
    shown = Image.fromarray(
        np.rint(((grey - low) / (high - low)).clip(0, 1) * 255).astype(np.uint8)
    )
    large = min(grey.shape) >= SIDE
    small = shown.resize((SIDE, SIDE), Image.Resampling.BOX if large else Image.Resampling.BILINEAR)
    bits = imagehash.phash(shown, hash_size=16).hash
    return exact, np.packbits(bits).tobytes(), small.tobytes()


def fingerprints(
    cohort: Cohort, *, cache: Path | None = None, progress: Progress | None = None
) -> Fingerprints:
    """Of every case of a cohort; each image is read once, and those known from before not at all.

    Args:
        cohort: the cases; what cannot be read gets no fingerprint, and reading it later says why.
        cache: folder of prepared images; by default see ``midclass.images.keys.folder``.
        progress: called with the number of cases done, of all, and "".
    """
    found: dict[tuple[object, ...], Fingerprint] = {}
    each = []
    with _kept(cache) as kept:
        for done, case in enumerate(cohort, start=1):
            image = (case.path, case.array, case.index, case.frame)
            if image not in found:
                found[image] = _of_case(cohort, done - 1, kept)
            each.append(found[image])
            if progress is not None:
                progress(done, len(cohort), "")
    return Fingerprints(cohort, tuple(each))


def perceptual_bits(each: Sequence[Fingerprint]) -> Bits:
    """Their perceptual hashes as ``(n, 256)``."""
    packed = np.frombuffer(b"".join(one.perceptual for one in each), np.uint8)
    return np.unpackbits(packed.reshape(-1, BITS // 8), axis=1).astype(bool)


def _of_case(cohort: Cohort, row: int, kept: _Kept) -> Fingerprint:
    case = cohort.cases[row]
    content = kept.content(case)
    if not content:
        return Fingerprint("")
    key = f"{_VERSION} {content} {case.index} {case.frame}"
    known = kept.get(key)
    if known is None:
        try:
            try:
                pixels = cohort.read(row).pixels
            except InputError:  # several slices, of which the case names none
                pixels = cohort.read(row, volume=True).pixels
            known = fingerprint_of(pixels)
        except STOPS:
            raise
        except BaseException:  # whatever a decoder does; preparation says why
            return Fingerprint("")
        if content_if_readable(case) != content:  # changed since
            return Fingerprint("")
        kept.put(key, known)
    return Fingerprint(content, *known)


class _Kept:
    """Fingerprints on disk; where that fails, they are made again each time."""

    def __init__(self, database: sqlite3.Connection | None) -> None:
        self.database = database

    def content(self, case: Case) -> str:
        """``content_of`` the case; a file that has not changed since is not opened."""
        started, state = time.time(), state_of_file(case)
        known = self._row("SELECT content FROM file WHERE state = ?", state)
        if known is not None:
            return str(known[0])
        content = content_if_readable(case)
        if content and settled([case.path], started):
            self._write("INSERT OR REPLACE INTO file VALUES (?, ?)", state, content)
        return content

    def get(self, key: str) -> Known | None:
        """What is known of an image."""
        columns = "pixels, perceptual, thumbnail"
        found = self._row(f"SELECT {columns} FROM fingerprint WHERE key = ?", key)
        return None if found is None else (str(found[0]), bytes(found[1]), bytes(found[2]))

    def put(self, key: str, known: Known) -> None:
        """Keep it."""
        self._write("INSERT OR REPLACE INTO fingerprint VALUES (?, ?, ?, ?)", key, *known)

    def _row(self, query: str, key: str) -> tuple[Any, ...] | None:
        if self.database is None:
            return None
        try:
            found: tuple[Any, ...] | None = self.database.execute(query, (key,)).fetchone()
        except sqlite3.Error:
            self.database = None
            return None
        return found

    def _write(self, query: str, *values: str | bytes) -> None:
        try:
            if self.database is not None:
                self.database.execute(query, values)
        except sqlite3.Error:  # such as a full disk
            self.database = None


@contextmanager
def _kept(cache: Path | None) -> Iterator[_Kept]:
    try:
        file = own_folder(cache) / FINGERPRINTS
        _believed_or_new(file)
        database = _opened(file)
    except (sqlite3.Error, OSError, InputError):
        yield _Kept(None)
        return
    with closing(database):
        yield _Kept(database)


def _believed_or_new(file: Path) -> None:
    """Begin anew where others can have written it, or it has grown too large."""
    try:
        with open_own(file) as known:
            large = known.seek(0, SEEK_END) > LIMIT_BYTES
    except FileNotFoundError:
        open_new(file).close()
        return
    except PermissionError:
        large = True
    if large:
        file.unlink()
        open_new(file).close()


def _opened(file: Path) -> sqlite3.Connection:
    """The database, written row by row; a file that is none is begun anew."""
    database = sqlite3.connect(file, timeout=30, isolation_level=None)
    try:
        database.execute("PRAGMA synchronous = OFF")  # what is lost is made again
        for table in ("file (state PRIMARY KEY, content)", _TABLE):
            database.execute(f"CREATE TABLE IF NOT EXISTS {table}")
    except sqlite3.DatabaseError as error:
        database.close()
        if isinstance(error, sqlite3.OperationalError):  # it is locked, say
            raise
        file.unlink()
        return _opened(file)
    return database
