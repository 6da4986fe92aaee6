"""Right files of every kind, small, made here; and the real ones of the development data."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import PIL.Image

from fuzz.right import BORN, NAME, NUMBER, Seed, encoded, picture
from fuzz.scans import dicom, real
from fuzz.written import detectors, texts


def png() -> Iterator[Seed]:
    from PIL.PngImagePlugin import PngInfo

    text = PngInfo()
    text.add_text("Patient", f"{NAME} {NUMBER} {BORN}")
    for mode in ("L", "RGB", "RGBA", "LA", "P", "1"):
        yield Seed("PNG", mode, encoded(picture(), "PNG", mode, pnginfo=text))
    yield Seed("PNG", "16 bits", encoded(picture("u2"), "PNG", pnginfo=text))


def jpeg() -> Iterator[Seed]:
    for mode, more in (
        ("L", {}),
        ("RGB", {"subsampling": 2}),
        ("CMYK", {}),
        ("L", {"progressive": True}),
    ):
        comment = f"{NAME} {NUMBER} {BORN}".encode()
        yield Seed(
            "JPEG", f"{mode} {more}", encoded(picture(), "JPEG", mode, comment=comment, **more)
        )


def tiff() -> Iterator[Seed]:
    about = f"{NAME} {NUMBER} {BORN}"
    compressions = (None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")
    for compression in compressions:
        yield Seed(
            "TIFF",
            str(compression),
            encoded(picture(), "TIFF", compression=compression, description=about),
        )
    for kind in ("u2", "i4", "f4"):
        yield Seed("TIFF", kind, encoded(picture(kind), "TIFF", description=about))
    yield Seed("TIFF", "RGB", encoded(picture(), "TIFF", "RGB", description=about))
    yield Seed(
        "TIFF", "1 bit", encoded(picture(), "TIFF", "1", compression="group4", description=about)
    )
    pages = [PIL.Image.fromarray(picture()) for _ in range(3)]
    out = io.BytesIO()
    pages[0].save(out, "TIFF", save_all=True, append_images=pages[1:])
    yield Seed("TIFF", "pages", out.getvalue())
    yield Seed("TIFF", "big", encoded(picture(), "TIFF", big_tiff=True))


def npz() -> Iterator[Seed]:
    stack = np.stack([picture(side=16)] * 4)
    shapes = {"grey": stack, "colour": np.stack([stack] * 3, -1), "volume": np.stack([stack] * 4)}
    shapes |= {
        "float": stack / np.float32(255),
        "16 bits": stack.astype(np.uint16) * 257,
        "bool": stack > 9,
    }
    for name, values in shapes.items():
        for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            array, out = io.BytesIO(), io.BytesIO()
            np.save(array, values)
            with zipfile.ZipFile(out, "w", method) as file:  # np.savez writes the time too
                file.writestr(zipfile.ZipInfo("images.npy"), array.getvalue(), method)
            yield Seed("npz", f"{name} {method}", out.getvalue())


def nifti() -> Iterator[Seed]:
    import nibabel

    volume = np.stack([picture("i2", 16)] * 5, -1)
    shapes = {"3-D": volume, "4-D": np.stack([volume] * 2, -1), "float": volume.astype("<f4")}
    for version, cls in (("1", nibabel.Nifti1Image), ("2", nibabel.Nifti2Image)):
        for name, values in shapes.items():
            image = cls(values, np.diag([0.5, 0.7, 2, 1]))
            image.header["descrip"] = f"{NAME} {NUMBER} {BORN}".encode()
            image.header.set_xyzt_units("mm", "sec")
            data = image.to_bytes()
            yield Seed("NIfTI", f"{version} {name}", data)
            yield Seed("NIfTI", f"{version} {name} gz", gzip.compress(data, mtime=0))


def all_seeds(work: Path, data: Path | None) -> dict[str, list[Seed]]:
    """All seeds by kind, in an order that does not depend on the machine."""
    found: dict[str, list[Seed]] = {}
    makers = (
        png(),
        jpeg(),
        tiff(),
        npz(),
        nifti(),
        dicom(),
        texts(),
        detectors(work / "detectors"),
    )
    for maker in makers:
        for seed in maker:
            found.setdefault(seed.kind, []).append(seed)
    for seed in real(data) if data is not None and data.is_dir() else ():
        found.setdefault(seed.kind, []).append(seed)
    return found
