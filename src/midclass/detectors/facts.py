"""Facts: what ``detector.json`` may say, each number checked."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from midclass.evaluation.conformal import conformal_threshold
from midclass.evaluation.cross_conformal import steps
from midclass.evaluation.metrics import TOP

Count = Annotated[int, Field(ge=0)]
Calibration = Annotated[list[FiniteFloat], Field(max_length=10_000_000)]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


class ScoresInContext(_Strict):
    """Scores of calibration cases alone and together with others; see ``context.EquallyRare``."""

    alone: Calibration
    together: Calibration

    @model_validator(mode="after")
    def _consistent(self) -> ScoresInContext:
        _refuse_unsorted(self.alone, "scores alone")
        _refuse_unsorted(self.together, "scores together")
        if len(self.alone) != len(self.together):
            raise ValueError("expected as many scores together as alone")
        return self


class ContextFacts(_Strict):
    """How cases are scored together with others; see ``Context``."""

    one: ScoresInContext | None = None
    both: ScoresInContext | None = None
    sides: ScoresInContext | None = None


class Fold(_Strict):
    """What was learned in one fold; see ``Folds.state``."""

    calibration: Calibration
    context: ContextFacts | None = None
    shared: list[str]
    state: dict[str, Any]

    @model_validator(mode="after")
    def _consistent(self) -> Fold:
        _refuse_unsorted(self.calibration)
        return self


class Parent(_Strict):
    """Of which detector the threshold was set anew, or moved by ``unknown`` cases; see ``site``."""

    name: str = Field(max_length=300)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    max_fpr: float = Field(gt=0, lt=1)
    threshold: FiniteFloat
    unknown: Count | None = None
    shift: FiniteFloat | None = None


class Heat(_Strict):
    """Where the colour of heat maps begins; see ``HeatScale``."""

    begins: float = Field(default=0.5, ge=0, le=1)
    rate: float = Field(default=0.05, gt=0, lt=1)


class About(_Strict):
    """What ``detector.json`` says; see ``Detector.save``. Further keys are remarks."""

    midclass: str = "an unknown version"
    detector: str = Field(max_length=300)
    recipe: dict[str, Any]
    max_fpr: float = Field(gt=0, lt=1)
    threshold: FiniteFloat
    calibration: Calibration = Field(min_length=1)
    cases: dict[str, Count]
    patients: dict[str, Count]
    not_assessed: dict[str, Count] = {}  # earlier versions did not count
    threads: Count | None = None
    parent: Parent | None = None
    heat: Heat = Heat()
    patient_calibration: Calibration = []
    patient_fewer: Annotated[list[Calibration], Field(max_length=TOP)] = []
    patient_cases: Count | None = None
    independent: float | None = Field(default=None, ge=1)
    context: ContextFacts | None = None
    code: dict[str, str] = {}
    id: str = Field(default="", pattern="^([0-9a-f]{16})?$")  # earlier versions knew none of these
    seed: Count | None = None
    fitted: str = Field(default="", pattern=r"^(\d{4}-\d\d-\d\d)?$")
    versions: dict[str, str] = {}
    spacing_mm: Annotated[list[float], Field(min_length=2, max_length=2)] | float | None = None
    plausible: dict[str, dict[str, list[FiniteFloat | None]]] | None = None
    state: dict[str, Any] | None = None
    folds: Annotated[list[Fold], Field(min_length=2, max_length=10_000)] | None = None

    @property
    def moved(self) -> bool:
        """See ``Detector.moved``."""
        return self.parent is not None and self.parent.shift is not None

    @model_validator(mode="after")
    def _consistent(self) -> About:
        if (self.state is None) == (self.folds is None):
            raise ValueError("expected either state or folds")
        _refuse_unsorted(self.calibration)
        for scores in (self.patient_calibration, *self.patient_fewer):
            _refuse_unsorted(scores)
            if len(scores) > len(self.patient_calibration):
                raise ValueError("patient_fewer is of other patients than patient_calibration")
        threshold = conformal_threshold(self.calibration, self.max_fpr)
        if not math.isclose(threshold, self.threshold, rel_tol=1e-9, abs_tol=1e-12):
            raise ValueError(
                f"threshold is {self.threshold:g}, the calibration scores say {threshold:g}"
            )
        if self.folds is not None and self.parent is None:
            expected = steps(sum(len(fold.calibration) for fold in self.folds)).tolist()
            if self.calibration != expected:
                raise ValueError("calibration is not that of the folds")
        return self


def _refuse_unsorted(scores: list[float], what: str = "calibration scores") -> None:
    if any(one > other for one, other in pairwise(scores)):
        raise ValueError(f"{what} are not in order")
