"""JPEG Extended of 12 bits a sample (PS3.5 A.4.1), decoded by GDCM: a plug-in for pydicom.

pydicom's own plug-in for GDCM refuses such files, because GDCM wraps values above the stored bits
of the file around to 0. Told the 12 bits of the stream it does not, and values are clipped here.
This is the only file that imports gdcm.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, TypeAlias

import numpy as np

from midclass.images.formats.silence import silent_library

Runner: TypeAlias = Any  # pydicom.pixels.decoders.base.DecodeRunner

JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
DECODER_DEPENDENCIES = {JPEG_EXTENDED: ("python-gdcm>=3.0.26",)}
STREAM_BITS = 12


def is_available(uid: str) -> bool:
    """Whether this plug-in decodes the transfer syntax here; pydicom asks.

    >>> is_available("1.2.840.10008.1.2.4.70")
    False
    """
    return uid == JPEG_EXTENDED and find_spec("gdcm") is not None


def decode_frame(source: bytes, runner: Runner) -> bytes:
    """One encoded frame -> its values (rows, columns), 16 bits each, little endian.

    Raises NotImplementedError for colour, signed values and streams of 8 bits, RuntimeError for a
    stream that is cut off or corrupt.
    """
    import gdcm

    bits = int(runner.bits_stored)
    if runner.samples_per_pixel != 1 or runner.pixel_representation or not 8 < bits <= STREAM_BITS:
        raise NotImplementedError("only unsigned grey values of 9 to 12 bits are decoded")
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(source)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((runner.columns, runner.rows, 1))
    image.SetDataElement(element)
    grey = gdcm.PhotometricInterpretation.MONOCHROME2  # no inversion at this step
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(grey))
    syntax = gdcm.TransferSyntax.GetTSType(JPEG_EXTENDED)
    image.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    image.SetPixelFormat(gdcm.PixelFormat(1, 16, STREAM_BITS, STREAM_BITS - 1, 0))
    with silent_library():
        text = image.GetBuffer()
    if text is None:
        raise RuntimeError("the stream is cut off or corrupt")
    values = np.frombuffer(text.encode("utf-8", "surrogateescape"), "<u2")
    return bytes(np.minimum(values, (1 << bits) - 1).astype("<u2"))
