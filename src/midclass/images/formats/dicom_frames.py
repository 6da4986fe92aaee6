"""What holds for one frame: enhanced files say it in functional groups (PS3.3 C.7.6.16)."""

from __future__ import annotations

from midclass.images.formats.dicom_attributes import Dataset, Unusable, code

FRAME_ATTRIBUTES = (
    *("PixelPaddingValue", "PixelPaddingRangeLimit", "FloatPixelPaddingValue"),
    *("FloatPixelPaddingRangeLimit", "DoubleFloatPixelPaddingValue"),
    "DoubleFloatPixelPaddingRangeLimit",
    *("ModalityLUTSequence", "RescaleSlope", "RescaleIntercept", "DoseGridScaling"),
    *("VOILUTSequence", "VOILUTFunction", "WindowCenter", "WindowWidth"),
    *("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing", "PixelAspectRatio"),
    *("SpacingBetweenSlices", "ImagePositionPatient", "ImageOrientationPatient"),
    *("SequenceOfUltrasoundRegions", "Rows", "Columns"),
)
OF_OTHER_PIPELINES = (
    *("EnhancedPaletteColorLookupTableSequence", "DataPathAssignment"),
    *("GrayLookupTableDescriptor", "PixelDataProviderURL"),
)
"""Attributes by which pixels would become something else than is made of them here."""


def attributes_of(dataset: Dataset, frames: int, index: int | None) -> list[Dataset]:
    """The attributes that change the pixels or geometry of a frame, or of each of so many.

    Args:
        dataset: the header.
        frames: how many the file has.
        index: of the one frame that is wanted; ``None`` for all.

    Raises:
        Unusable: there are groups for fewer frames, or the file asks for steps that are not taken.
    """
    refuse_other_pipelines(dataset)
    shared = _items(dataset, "SharedFunctionalGroupsSequence")[:1]
    own = _items(dataset, "PerFrameFunctionalGroupsSequence")
    if own and len(own) < frames:
        raise Unusable(f"PerFrameFunctionalGroupsSequence has {len(own)} items for {frames} frames")
    wanted = range(frames) if index is None else [index]
    if not own and not shared:
        return [_flat(dataset)] * len(wanted)
    return [_flat(dataset, *shared, *own[k : k + 1]) for k in wanted]


def refuse_other_pipelines(dataset: Dataset) -> None:
    """Refuse a file that asks for a pipeline which midclass does not have.

    Raises:
        Unusable: names the attribute.
    """
    for keyword in OF_OTHER_PIPELINES:
        if keyword in dataset:
            raise Unusable(f"{keyword} changes the pixels in a way that is not read")
    presentation = code(
        dataset, "PixelPresentation", ("MONOCHROME", "COLOR", "MIXED", "TRUE_COLOR")
    )
    if presentation in ("COLOR", "MIXED"):  # PS3.3 C.7.6.19
        raise Unusable(f"PixelPresentation {presentation}: grey with colour over it is not read")


def _items(dataset: Dataset, keyword: str) -> list[Dataset]:
    try:
        return list(dataset.get(keyword) or ())
    except Exception:  # pydicom's words may quote the header
        raise Unusable(f"{keyword} is damaged") from None


def _flat(dataset: Dataset, *groups: Dataset) -> Dataset:
    import pydicom

    flat = pydicom.Dataset()
    flat.file_meta = dataset.file_meta  # tells the byte order of lookup tables
    flat.PixelRepresentation = dataset.get("PixelRepresentation", 0)  # of values of either sign
    of_file = [keyword for keyword in FRAME_ATTRIBUTES if keyword in dataset]
    _take(flat, dataset, of_file)
    for group in groups:
        for name in group.dir("Sequence"):
            for item in _items(group, name)[:1]:
                _take(flat, item, [keyword for keyword in FRAME_ATTRIBUTES if keyword in item])
    return flat


def _take(flat: Dataset, dataset: Dataset, keywords: list[str]) -> None:
    """Copy attributes as their bytes are, so that each is understood where it is used."""
    from pydicom.datadict import tag_for_keyword

    for keyword in keywords:
        tag = tag_for_keyword(keyword)
        flat[tag] = dataset.get_item(tag)
