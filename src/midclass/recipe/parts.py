"""Parts of a recipe that say what an image is: geometry, intensity, and which files it accepts."""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from midclass.errors import InputError

LONGEST_MM, FINEST_MM = 100_000.0, 1e-5
"""A hundred metres, and pixels of ten nanometres: no image lies beyond."""
LARGEST_GRID = 4096
"""Samples along a side."""


class Part(BaseModel):
    """A part of a YAML file: unknown fields are refused, and it does not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Geometry(Part):
    """What one sample is and on which grid it lies; the fields are explained in blank.yaml."""

    view: Literal["whole", "slices", "roi", "tiles"] = "whole"
    size: tuple[int, int]
    channels: Literal[1, 3] = 1
    crop: str | None = None
    margin: float = Field(default=0.02, ge=0, le=1)
    roi_mm: float | None = Field(default=None, gt=0, le=LONGEST_MM)
    canvas_mm: tuple[float, float] | None = None
    compare: Literal["other_side"] | None = None
    field_of_view_mm: float | None = Field(default=None, gt=0, le=LONGEST_MM)
    spacing_mm: float | None = Field(default=None, ge=FINEST_MM, le=LONGEST_MM)
    orient: Literal["keep", "laterality"] = "keep"
    outside: Literal["keep", "fade", "blank"] = "keep"
    least_anatomy_mm2: float = Field(default=0.0, ge=0, le=LONGEST_MM**2)

    @model_validator(mode="after")
    def _consistent(self) -> Geometry:
        if min(self.size) < 16 or max(self.size) > LARGEST_GRID:
            raise ValueError("size must be [height, width] with 16 to 4096 samples each")
        squares = self.view in ("roi", "tiles")
        if squares != (self.roi_mm is not None):
            raise ValueError(
                "view roi needs roi_mm, the side of the square, as view tiles does, and no other "
                "view has it"
            )
        if squares and self.size[0] != self.size[1]:
            raise ValueError(f"view {self.view} is of squares: size must be [n, n]")
        if self.view == "roi" and self.crop is not None:
            raise ValueError("view roi is a square around a place: crop must be null")
        if self.compare is not None and self.view != "tiles":
            raise ValueError("compare is of view tiles: no other view has a score of each place")
        if self.spacing_mm is not None and self.field_of_view_mm is not None:
            raise ValueError("give spacing_mm or field_of_view_mm, not both")
        self._check_canvas()
        return self

    @model_serializer(mode="wrap")
    def _as_before_there_were_tiles(self, fields: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what came later where it is None: recipes without it keep their digests."""
        found, later = fields(self), ("canvas_mm", "compare")
        return {name: one for name, one in found.items() if one is not None or name not in later}

    def _check_canvas(self) -> None:
        if (self.view == "tiles") != (self.canvas_mm is not None):
            raise ValueError(
                "view tiles needs canvas_mm, [height, width] of the largest image, and only tiles "
                "has it"
            )
        if self.canvas_mm is None or self.roi_mm is None:
            return
        if not self.roi_mm <= min(self.canvas_mm) <= max(self.canvas_mm) <= LONGEST_MM:
            raise ValueError(f"canvas_mm must be at least roi_mm, {self.roi_mm:g}, on both sides")
        if max(self.grid) > LARGEST_GRID:
            raise ValueError(
                f"canvas_mm {list(self.canvas_mm)} takes {self.grid[0]} x {self.grid[1]} samples "
                f"as fine as a tile, {LARGEST_GRID} a side at most; give a smaller size or canvas"
            )

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width of a prepared sample: ``size``, or of view tiles those of the canvas.

        >>> whole = {"view": "tiles", "size": (64, 64), "roi_mm": 32.0, "canvas_mm": (100.0, 80.0)}
        >>> Geometry.model_validate(whole).grid
        (200, 160)
        """
        if self.canvas_mm is None or self.roi_mm is None:
            return self.size
        high, wide = (
            math.ceil(side / self.roi_mm * self.size[0] - 1e-9) for side in self.canvas_mm
        )
        return high, wide

    @property
    def shows_all(self) -> bool:
        """Whether one sample shows all of an image: views whole and slices."""
        return self.view in ("whole", "slices")

    @property
    def in_context(self) -> bool:
        """Whether the neighbours of an image in its series count: view slices."""
        return self.view == "slices"

    def refuse_tiles(self, what: str) -> None:
        """Raise InputError where the view is tiles, with which something cannot be done yet.

        ``what`` is the beginning of a sentence.
        """
        if self.view == "tiles":
            raise InputError(f"{what} with view tiles; use view whole or roi for that")


class Intensity(Part):
    """Which values become 0 and 1; the fields are explained in blank.yaml."""

    window: tuple[float, float] | None = None
    rule: Literal["none", "percentiles", "relative"] = "none"
    low: float = Field(default=0.5, ge=0, le=100)
    high: float = Field(default=99.5, ge=0, le=100)
    within: Literal["image", "anatomy"] = "image"
    scale: float = Field(default=0.5, gt=0, le=1e6)

    @model_validator(mode="after")
    def _consistent(self) -> Intensity:
        if self.low >= self.high:
            raise ValueError(f"low {self.low:g} must be below high {self.high:g}")
        if self.window is not None and self.window[0] >= self.window[1]:
            raise ValueError("window must be [low, high] with low < high")
        return self


MODALITIES = frozenset(
    (
        *("BI", "BMD", "CR", "CT", "DG", "DMS", "DR", "DX", "ECG", "EPS", "ES", "GM", "IO"),
        *("IVOCT", "IVUS", "LS", "MG", "MR", "NM", "OAM", "OCT", "OP", "OPM", "OPT", "OPTBSV"),
        *("OPTENF", "OPV", "PA", "PT", "PX", "RF", "RG", "RTDOSE", "RTIMAGE", "SEG", "SM", "TG"),
        *("US", "XA", "XC", "XR"),
    )
)
"""Words that say where an image comes from (PS3.3 C.7.3.1.1.1, and DR and XR, which some write).
Others (OT, SC, what is in no list) say nothing, and are not repeated: it may be a name."""


PROJECTIONS = frozenset(("CR", "DG", "DR", "DX", "IO", "MG", "PX", "RF", "RG", "XA", "XR"))
"""Modalities whose images are no slices."""
PLANES = ("sagittal", "coronal", "axial")
"""By the axis of the patient to which their normal is nearest: right, front, head."""
VOLUME = "slice of a volume"
"""In place of the modality of a file without one, such as NIfTI, that holds a stack of slices."""


class Accepts(Part):
    """Which DICOM files belong to the task, by their headers; the fields are in blank.yaml.

    A file that does not say is accepted, and so is every other format; but a slice of a volume is
    no projection, and NIfTI tells of planes, too.

    >>> Accepts(plane=("axial",)).refuse("CT", "HEAD", "coronal")
    Traceback (most recent call last):
    midclass.errors.InputError: is a coronal slice, the recipe accepts axial; leave such files out \
(midclass manifest FOLDER --where plane!=sagittal,coronal), take another recipe, or change accepts
    >>> chest = Accepts(modality=("CR", "DX"), body_part=("CHEST",))
    >>> chest.refuse("CR", "CHEST_TO_PELVIS")
    >>> chest.refuse("MR", "")
    Traceback (most recent call last):
    midclass.errors.InputError: Modality is MR, the recipe accepts CR, DX; take another recipe, or \
change accepts
    """

    modality: tuple[str, ...] = ()
    body_part: tuple[str, ...] = ()
    plane: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _known(self) -> Accepts:
        for one in self.plane:
            if one not in PLANES:
                raise ValueError(f"plane {one!r} is none of {', '.join(PLANES)}")
        for one in self.modality:
            if one not in MODALITIES:
                raise ValueError(f"modality {one!r} is none of {', '.join(sorted(MODALITIES))}")
        for one in self.body_part:
            if not one or one != one.upper():
                raise ValueError(f"body_part {one!r}: give it in capitals, such as CHEST")
        return self

    @model_serializer(mode="wrap")
    def _as_before_there_were_planes(self, fields: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without planes where none is named: recipes without keep their digests."""
        return {name: one for name, one in fields(self).items() if one or name != "plane"}

    def refuse(self, modality: str, body_part: str, plane: str = "") -> None:
        """Refuse an image of another kind than the recipe is for.

        Args:
            modality: Modality, or ``VOLUME``.
            body_part: BodyPartExamined (PS3.16 annex L), in which a name of the recipe may be
                part of a longer one.
            plane: one of ``PLANES``, or "".

        Raises:
            InputError: names the attribute.
        """
        way_out = "take another recipe, or change accepts"
        if modality == VOLUME and self.modality and PROJECTIONS.issuperset(self.modality):
            accepted = ", ".join(self.modality)
            raise InputError(f"is a slice of a volume, the recipe accepts {accepted}; {way_out}")
        if self.modality and modality in MODALITIES and modality not in self.modality:
            accepted = ", ".join(self.modality)
            raise InputError(f"Modality is {modality}, the recipe accepts {accepted}; {way_out}")
        if self.body_part and body_part and not any(p in body_part for p in self.body_part):
            accepted = ", ".join(self.body_part)
            raise InputError(f"BodyPartExamined has none of {accepted} in it; {way_out}")
        if self.plane and plane and plane not in self.plane:
            accepted = ", ".join(self.plane)
            others = ",".join(one for one in PLANES if one not in self.plane)
            raise InputError(
                f"is a {plane} slice, the recipe accepts {accepted}; leave such files out "
                f"(midclass manifest FOLDER --where plane!={others}), {way_out}"
            )
