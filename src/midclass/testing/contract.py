"""The contract of every operator: its promises in order, and who breaks which."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from midclass.errors import InputError
from midclass.knowledge.base import Knowledge
from midclass.testing import change, form, randomness, seams, severity
from midclass.testing.scenes import example_batch
from midclass.testing.subject import Subject
from midclass.types import ImageBatch

Check = Callable[[Subject], str | None]
"""None where the promise is kept, else what is broken, as the end of a sentence."""

PROMISES: dict[str, tuple[Check, ...]] = {
    "says why, with a source": (form.says_why,),
    "keeps shape, type and range": (form.keeps_form,),
    "draws a row per image": (form.draws_rows,),
    "takes 2-D and 3-D, grey and RGB": (form.takes_every_image,),
    "leaves its input as it is": (randomness.keeps_its_input,),
    "repeats itself": (randomness.repeats,),
    "is random by its generator alone": (randomness.uses_its_generator_alone,),
    "treats each image alone": (randomness.treats_images_alone,),
    "marks what it changes": (change.marks_what_it_changes,),
    "stays in the anatomy": (change.stays_in_the_anatomy,),
    "changes most images": (change.changes_most_images,),
    "marks tightly": (change.marks_tightly,),
    "measures its severity": (
        severity.nothing_is_not_severe,
        severity.stronger_is_more_severe,
        severity.severity_is_measured,
    ),
    "works in millimetres": (change.works_in_mm,),
    "has shams without seams": (seams.shams_are_quiet, seams.shams_have_no_seams),
}
"""What every operator promises, by the words of the table that ``midclass check`` prints."""

NEEDED = ("keeps shape, type and range", "draws a row per image")
"""Without these the others cannot be checked."""


@dataclass(frozen=True)
class Finding:
    """What became of one promise.

    Attributes:
        promise: a key of ``PROMISES``.
        state: ``refused`` where the operator said in words that it cannot take the images.
        text: what is broken, as the end of a sentence that the operator's name begins; or the
            words of the refusal.
        error: what the operator raised, if that is what broke the promise.
    """

    promise: str
    state: Literal["ok", "broken", "refused", "not checked"]
    text: str = ""
    error: Exception | None = None


def findings(operator: Knowledge, batch: ImageBatch, seed: int = 0) -> list[Finding]:
    """Every promise, checked on one batch."""
    subject, found = Subject(operator, batch, seed), list[Finding]()
    for promise, checks in PROMISES.items():
        if any(f.promise in NEEDED and f.state != "ok" for f in found):
            found.append(Finding(promise, "not checked"))
        else:
            found.append(_finding(promise, checks, subject))
    return found


def check_operator(operator: Knowledge, batch: ImageBatch | None = None, seed: int = 0) -> None:
    """Check one operator on one batch; without a batch, on 2-D and 3-D examples.

    Raises:
        AssertionError: naming the operator and the promise that it breaks.
        InputError: the operator refuses the images.

    >>> from midclass.knowledge.focal import Focal
    >>> check_operator(Focal(diameter_mm=(8, 20)), example_batch(dims=2))
    """
    for images in [batch] if batch is not None else [example_batch(2), example_batch(3)]:
        for finding in findings(operator, images, seed):
            if finding.state == "refused":
                raise InputError(finding.text)
            if finding.state == "broken":
                name = type(operator).__name__
                raise AssertionError(f"{name} {finding.text}") from finding.error


def _finding(promise: str, checks: tuple[Check, ...], subject: Subject) -> Finding:
    try:
        for check in checks:
            broken = check(subject)
            if broken:
                return Finding(promise, "broken", broken)
    except InputError as refusal:
        return Finding(promise, "refused", str(refusal))
    except Exception as error:  # an operator can raise anything
        text = f"fails with {type(error).__name__}: {' '.join(str(error).split())}"
        return Finding(promise, "broken", text, error)
    return Finding(promise, "ok")


__all__ = ["PROMISES", "Finding", "check_operator", "findings"]
