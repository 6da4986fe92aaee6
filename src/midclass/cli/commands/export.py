"""The command ``export``: a saved detector as an ONNX file that was seen to say the same."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from midclass.cli.commands.source import Source, prepared_with_bar
from midclass.cli.console import bar, note, say, tell_promise
from midclass.cli.options import DEFAULTS, Options
from midclass.cli.outputs import Place, claimed, read_by
from midclass.cli.recognised import no_export
from midclass.detectors.export import Equality, exported, refuse_unable
from midclass.detectors.storage import load_detector
from midclass.errors import InputError
from midclass.files import new_file
from midclass.preview.phantoms import for_phantoms, phantom_cohort, phantom_of

PHANTOMS = 60
"""Generated where no cases are given; the calibration cases of a fit are not kept with it."""


def run(
    folder: Path,
    source: Source | None,
    options: Options = DEFAULTS,
    *,
    onnx: Path,
    seed: int = 0,
) -> Equality:
    """Write the file, where it and the detector say the same of the same images."""
    place = Place(onnx, "file", option="--onnx", strange=no_export)
    reads = read_by(source, folder, *options.trust)
    with claimed(place, reads=reads, overwrite=options.overwrite), ExitStack() as stack:
        detector = load_detector(folder, options.trust)
        refuse_unable(detector)
        recipe = detector.recipe
        if source is None:
            kind = phantom_of(recipe)
            if kind is None or recipe.geometry.channels != 1:
                raise InputError(
                    f"{recipe.name}: no generated phantoms look like its images; name cases to "
                    "compare on with --cohort"
                )
            cohort = stack.enter_context(phantom_cohort(recipe, PHANTOMS, seed))
            of, recipe = "generated phantoms", for_phantoms(recipe)
            note(
                f"note: compared on {kind} phantoms, which are no images of patients; name real "
                "ones, such as those of the calibration, with --cohort"
            )
        else:
            cohort = source.part_of(source.whole(), "test") if source.part else source.whole()
            of = f"cases of {cohort.title}"
        prepared = prepared_with_bar(cohort, recipe, options, keep_going=True)
        with bar("comparing") as progress:
            raw, found = exported(detector, folder, prepared, of, progress)
        with new_file(onnx) as file:
            file.write(raw)
    _tell(found)
    tell_promise(detector.promise())
    say(f"{'saved':<16} {onnx} ({len(raw) / 1e6:.1f} MB); research only")
    return found


def _tell(found: Equality) -> None:
    """How far both agree."""
    heat = "" if found.heat_map is None else f", of heat {found.heat_map:.1g}"
    say(
        f"{'the same':<16} flags of {found.images} {found.of}; largest difference of scores "
        f"{found.score:.1g} ({found.tolerance:.1g} is allowed){heat}"
    )
    if found.p_values:
        say(
            f"{'':<16} {found.p_values} p-values differ by a step: near a calibration score the "
            "file gives the larger one"
        )
