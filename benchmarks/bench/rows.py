"""What the groups share: rows, files to work on, and commands whose time and memory are told."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import PIL.Image
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid
from scipy import ndimage

SIDE = 512


class Asked(NamedTuple):
    """Where to work, and how much."""

    folder: Path
    images: int
    cases: tuple[int, ...]


class Row(NamedTuple):
    """One figure: a value beside that of a peer, or a limit; and what is asked of their ratio."""

    name: str
    value: float
    peer: float
    ratio: float
    limit: str


def pictures(n: int, side: int = SIDE) -> list[np.ndarray]:
    """Bright discs with soft grain, so that they shrink about as much as X-rays do."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    body = 0.6 * (np.hypot(x, y) < 0.85) + 0.2 * np.cos(9 * x) * np.cos(7 * y)
    grain = [ndimage.gaussian_filter(rng.normal(0, 0.1, (side, side)), 1) for _ in range(8)]
    return [
        np.roll(body + grain[i % 8], i * 7, axis=1).clip(0, 1).astype(np.float32) for i in range(n)
    ]


def write_png(folder: Path, n: int, side: int = SIDE) -> list[Path]:
    """So many PNG files of 8 bits, each another by some dark pixels of a corner."""
    folder.mkdir(parents=True, exist_ok=True)
    shown = pictures(min(n, 40), side)
    files = []
    for i in range(n):
        pixels = (shown[i % 40] * 255).astype(np.uint8)
        pixels[0, :8] = i // 40 >> 2 * np.arange(8) & 3  # a shift would be no longer plausible
        files.append(folder / f"{i:05d}.png")
        PIL.Image.fromarray(pixels).save(files[-1], compress_level=6 if i < 40 else 1)
    return files


def write_dicom(folder: Path, n: int) -> list[Path]:
    """So many DICOM files of 12 bits, not compressed, each another."""
    folder.mkdir(parents=True, exist_ok=True)
    shown, files = pictures(min(n, 20)), []
    for i in range(n):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(i)])
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        files.append(folder / f"{i:05d}.dcm")
        data = FileDataset(str(files[-1]), {}, file_meta=meta, preamble=b"\0" * 128)
        data.SOPClassUID = SecondaryCaptureImageStorage
        data.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
        data.PatientID, data.Modality, data.PixelSpacing = str(i), "DX", [0.5, 0.5]
        data.Rows = data.Columns = SIDE
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
        data.PixelData = np.roll((shown[i % 20] * 4095).astype("<u2"), i // 20, axis=0).tobytes()
        pydicom.dcmwrite(files[-1], data, enforce_file_format=True)
    return files


def midclass(
    folder: Path, *arguments: object, cores: int = 0, fails: bool = False
) -> tuple[float, float]:
    """Run a command; its seconds and its peak of memory in MiB (of the largest process).

    Args:
        folder: of the cache.
        arguments: of the command.
        cores: that it may use; 0 for all.
        fails: it is meant to end with code 2.
    """
    command = [sys.executable, "-m", "midclass", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MIDCLASS_CACHE": str(folder / "cache")}
    mine = os.sched_getaffinity(0)
    allowed = set(sorted(mine)[:cores]) if cores else mine
    began = time.monotonic()
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL if fails else None,
        preexec_fn=lambda: os.sched_setaffinity(0, allowed),
    )
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) != (2 if fails else 0):
        raise SystemExit(f"failed: {' '.join(command)}")
    return time.monotonic() - began, usage.ru_maxrss / 1024


def recipe_text(size: int, anatomy: str = "anatomy.foreground", **budget: object) -> str:
    """A recipe for these pictures."""
    said = ", ".join(f"{name}: {value}" for name, value in budget.items())
    return f"""\
name: bench
given_class: normal
target_class: ball
geometry: {{size: [{size}, {size}], spacing_mm: 1.0}}
anatomy: {anatomy}
middle_classes: {{ball: {{operator: focal.Focal, diameter_mm: [5, 12]}}}}
budget: {{steps: 4, batch: 8, checkpoints: 1, pretrained: null, {said}}}
"""
