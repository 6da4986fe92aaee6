"""Promises about form: the docstring, shapes, types, ranges and the images that are taken."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from midclass.errors import InputError
from midclass.testing.scenes import example_batch
from midclass.testing.subject import Subject
from midclass.types import ImageBatch, Middle

SOURCE = re.compile(r"\b(1[89]|20)\d\d\b|\b10\.\d{4,}/\S|\([^)]*[A-Z][^)]+\)")
"""A year, a DOI or a reference in parentheses."""


def says_why(subject: Subject) -> str | None:
    """The docstring says why the knowledge holds, and from where that is known."""
    why = (type(subject.operator).__doc__ or "").partition("Why:")[2]
    if len(why.split()) < 10:
        return "has no docstring with 'Why: ...' and a source"
    if not SOURCE.search(why):
        return "names no source after 'Why:' (a year, a DOI or a reference in parentheses)"
    return None


def keeps_form(subject: Subject) -> str | None:
    """Shape, float32, finite and in [0, 1]."""
    return _wrong_form(subject.batch, subject.middle)


def draws_rows(subject: Subject) -> str | None:
    """Every tensor of the draw has a row for each image, so that a draw can be cut."""
    for name, values in subject.params.items():
        if values.ndim == 0 or len(values) != len(subject.batch):
            return f"draws {name} without a row per image"
    return None


def takes_every_image(subject: Subject) -> str | None:
    """2-D and 3-D, grey and RGB, and sides of different length."""
    spacing = float(subject.batch.spacing_mm.amax())
    for size in ((28, 36), (12, 16, 20)):
        for channels in (1, 3):
            what = f"{len(size)}-D images of {channels} channel{'s' * (channels > 1)}"
            batch = example_batch(
                len(size), 2, channels, size=size, spacing_mm=(0.8 * spacing, spacing)
            )
            try:
                wrong = _wrong_form(batch, subject.apply(batch, subject.draw(batch)))
            except InputError:
                raise
            except Exception as error:  # an operator can raise anything
                wrong = f"{type(error).__name__}: {' '.join(str(error).split())}"
            if wrong:
                return f"cannot take {what} ({wrong})"
    return None


def _wrong_form(batch: ImageBatch, middle: Middle) -> str | None:
    one = (len(batch), 1, *batch.spatial)
    if middle.pixels.shape != batch.pixels.shape:
        return "changes the shape of the images"
    if tuple(middle.change.shape) != one:
        return f"has a change map that is not {one}"
    if middle.severity.shape != (len(batch),):
        return "has not one severity per image"
    for name in ("pixels", "change", "severity"):
        values: Tensor = getattr(middle, name)
        if values.dtype != torch.float32:
            return f"returns {name} of {values.dtype}"
        if not torch.isfinite(values).all():
            return f"returns {name} that are not finite"
        if values.min() < 0 or values.max() > 1:
            return f"returns {name} outside [0, 1]"
    return None
