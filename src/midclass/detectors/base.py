"""Detector: what every method promises, kept in one place."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from midclass.detectors.context import Context
from midclass.detectors.estimator import Estimator, Images, of_all, reasons_of_all
from midclass.detectors.eye import Eye, taught
from midclass.detectors.folds import Folds, number_of_folds
from midclass.detectors.look import CaseScores, Hottest, Look, case_scores, highest
from midclass.detectors.parts import (
    HELD_OUT,
    may_calibrate,
    only_given_class,
    only_target_class,
    parted,
)
from midclass.detectors.plausible import Plausible
from midclass.detectors.promised import promise_of
from midclass.detectors.provenance import Origin, today, versions
from midclass.detectors.saved import files_of, id_of
from midclass.errors import InputError
from midclass.evaluation import conformal
from midclass.evaluation.calibrated import CalibratedPatients
from midclass.evaluation.clusters import independent_cases
from midclass.evaluation.heat import HeatScale
from midclass.evaluation.metrics import checked_fpr
from midclass.evaluation.ranking import FloatArray
from midclass.files import new_folder
from midclass.images.prepare import Prepared
from midclass.training.lesson import LearningImages, Lesson, checked_seed
from midclass.types import ImageBatch, Progress


class Detector(Estimator):
    """Learns from given-class cases; a higher score is more abnormal.

    ``decision_function = score_samples - threshold_`` and ``predict`` is 1 exactly where it is
    above 0, and where a case could not be assessed: its score is NaN, which is not "normal". The
    threshold is conformal: a case of the given class that was not used in training, and can be
    assessed, is flagged with probability ``max_fpr_`` at most (on average over calibration sets;
    see ``midclass.evaluation.conformal``, and ``cross_conformal`` for what learns in folds, where
    less is proven).

    A subclass fills four holes: ``learn``, ``score``, ``state`` and ``restore``; and says whether
    it ``makes_heat_maps``, ``learns_knowledge`` (the recipe's middle classes), ``takes_positives``
    (a few target-class cases) or ``needs_positives``.

    All take prepared images or arrays; for the parameters see ``Estimator``.
    """

    makes_heat_maps: ClassVar[bool] = True
    learns_knowledge: ClassVar[bool] = False
    folds_: Folds | None = None
    plausible_: Plausible = Plausible()
    context_: Context = Context()
    threads_: int | None = None
    parent_: dict[str, Any] | None = None
    origin_: Origin = Origin()
    heat_: HeatScale = HeatScale()
    patient_calibration_: CalibratedPatients = CalibratedPatients(np.empty(0))
    independent_: float | None = None
    unkept_: str = ""
    highest_: tuple[str, ...] = ()

    @abstractmethod
    def learn(self, lesson: Lesson) -> None:
        """Learn from its ``train``; choose checkpoint, scores and the like with its ``select``."""

    @abstractmethod
    def score(self, images: ImageBatch) -> tuple[Tensor, Tensor | None]:
        """Scores ``(n,)``; heat maps ``(n, 1, *spatial)`` in [0, 1], or None if it makes none.

        The images show enough anatomy. An image alone has the score that it has among others.
        """

    @abstractmethod
    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What was learned: tensors by name, and JSON."""

    @abstractmethod
    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Take back what ``state`` gave."""

    def fit(
        self,
        given: Images,
        y: ArrayLike | None = None,
        *,
        groups: ArrayLike | None = None,
        positives: Images | None = None,
        seed: int | None = None,
        max_fpr: float | None = None,
        folds: int | None = None,
        workdir: Path | None = None,
        progress: Progress | None = None,
    ) -> Detector:
        """Learn from given-class cases and set the threshold with those held out.

        Where these are too few for ``max_fpr``, the detector learns in folds, and every case is
        held out of one of them (see ``midclass.evaluation.cross_conformal``).

        Args:
            given: cases of the given class; of an array see ``Estimator.to_learn``.
            y: labels of an array; rows with 1 are left out.
            groups: patients of an array.
            positives: the few known cases of the target class, to learn from; the threshold is set
                without them, and without the given-class cases of their patients.
            seed: the same seed, machine and number of threads give the same scores to the bit.
            max_fpr: promised false-alarm rate.
            folds: None takes them where the cases held out would be too few; 0 takes none. These
                three are by default the detector's own parameters.
            workdir: an interrupted training goes on from here.
            progress: called with (step, steps, text).

        Raises:
            InputError: when a case is of the wrong class, there are too few for ``max_fpr``, or the
                detector cannot use positives, or cannot do without.
        """
        given, positives = self.to_learn(given, y, groups, positives)
        seed = checked_seed(self.seed if seed is None else seed)
        max_fpr = self.max_fpr if max_fpr is None else max_fpr
        folds = self.folds if folds is None else folds
        only_given_class(given)
        self.check_number_of_positives(0 if positives is None else len(positives))
        if positives is not None:
            self.recipe.geometry.refuse_tiles("positives cannot be learned from")
        known = only_target_class(positives)
        given = given.subset(given.cases.by_case_id())  # the order of rows must not matter
        positives = None if positives is None else positives.subset(known.by_case_id())
        self.max_fpr_, self.threads_ = checked_fpr(max_fpr), torch.get_num_threads()
        parts = parted(given.cases, set(known.patients), seed)
        self.plausible_ = Plausible.of(given.subset(parts["train"]), self.recipe)
        given = self.by_plausible_anatomy(given)
        positives = None if positives is None else self.by_plausible_anatomy(positives)
        prepared = {name: given.subset(part) for name, part in parts.items()}
        self.not_assessed_ = {n: len(self.reasons(part)) for n, part in prepared.items()}
        calibrating = len(parts["calibrate"]) - self.not_assessed_["calibrate"]
        lesson = Lesson(prepared["train"], prepared["select"], seed, workdir, progress, positives)
        self.folds_, self.context_ = None, Context()
        self.patient_calibration_ = CalibratedPatients(np.empty(0))
        free = may_calibrate(given.cases, unseen := self.reasons(given), known.patients)
        if number := number_of_folds(folds, self.max_fpr_, calibrating, free):
            self.folds_ = Folds.learned(self, given, lesson, known.patients, number)
            self.calibration_, self.highest_ = self.folds_.steps, self.folds_.highest
            self.independent_ = self.folds_.independent
            self.threshold_ = conformal.conformal_threshold(self.calibration_, self.max_fpr_)
            self.heat_ = HeatScale.of(self.folds_.hottest, self.max_fpr_)
            parts, self.not_assessed_ = {"given": given.cases}, {"given": len(unseen)}
        else:
            conformal.refuse_too_few(calibrating, self.max_fpr_, HELD_OUT["calibrate"])  # at once
            taught(self, lesson)
            self.calibrate(prepared["calibrate"])
        parts |= {"positives": known} if len(known) else {}
        self.cases_ = {name: len(part) for name, part in parts.items()}
        self.patients_ = {name: len(part.patients) for name, part in parts.items()}
        self.origin_ = Origin(id_of(self), seed, today(), versions())
        return self

    def calibrate(self, given: Prepared) -> CaseScores:
        """Set the threshold, and where heat begins, with given-class cases not seen in learning.

        Returns their scores; with folds those of ``score_samples``, in context.
        """
        hottest, cases, self.context_ = Hottest(given), given.cases, Context()
        looks = self.looks(given, heat_maps=self.makes_heat_maps)
        seen = case_scores(hottest.noting(looks), given)
        if self.folds_ is None:
            self.context_ = Context.of(seen.alone, cases, self.recipe.geometry, seen.compared)
        else:
            seen = CaseScores(self.folds_.scores(seen.alone, cases, seen.compared), None)
        self.calibration_ = np.sort(seen.alone[~np.isnan(seen.alone)])
        self.threshold_ = conformal.conformal_threshold(self.calibration_, self.max_fpr_)
        patients = [case.patient_id for case in cases]
        together = self.context_(seen.alone, cases, seen.compared)
        there = ~np.isnan(together)  # in context they are more alike
        self.independent_ = independent_cases(together[there], np.array(patients)[there])
        self.patient_calibration_ = CalibratedPatients.of(together, patients)
        self.heat_ = HeatScale.of(hottest.found, self.max_fpr_)
        self.highest_ = highest(together, cases)
        return seen

    def looks(self, prepared: Prepared, *, heat_maps: bool = False) -> Iterator[Look]:
        """Look once at every sample that can be assessed, some at a time, for scores and maps.

        Args:
            prepared: the samples.
            heat_maps: give the maps too, where the detector makes any.
        """
        prepared = self.by_plausible_anatomy(prepared)
        see = self.score if self.folds_ is None else self.folds_.look
        eye = Eye(see, self.device, heat_maps=heat_maps and self.makes_heat_maps)
        yield from eye.looks(prepared, self.assessable(prepared), self.recipe.geometry)

    def score_samples(self, images: Images) -> FloatArray:
        """Raw score of every case ``(n_cases,)``; NaN for one that cannot be assessed.

        With as many threads it is the same to the last bit, alone or among any others; but
        neighbours in a series and the other side count where the recipe says so, see ``Context``.

        Raises:
            NotFittedError: there is no threshold yet.
        """
        prepared = self.prepared(images)
        return of_all(self.scores_of(self.looks(prepared), prepared), prepared, images)

    def scores_of(
        self, looks: Iterable[Look], prepared: Prepared, *, strict: bool = True
    ) -> FloatArray:
        """The same from this detector's looks at the samples, where somebody else sees them too.

        For ``strict`` see ``case_scores``.
        """
        seen = case_scores(looks, prepared, strict=strict)
        in_context = self.context_ if self.folds_ is None else self.folds_.scores
        return in_context(seen.alone, prepared.cases, seen.compared)

    def promise(self) -> dict[str, float]:
        """The promised false-alarm rate, and where the true one lies: see ``promise_of``."""
        return promise_of(self)

    @property
    def moved(self) -> bool:
        """Whether unlabelled cases moved the threshold: its rate is no promise."""
        return self.parent_ is not None and "shift" in self.parent_

    def p_values(self, scores: FloatArray) -> FloatArray:
        """How often a held-out given-class case scores as high: ``(n,)``; NaN for a score NaN."""
        found, assessed = np.full(len(scores), np.nan), ~np.isnan(scores)
        if assessed.any():
            found[assessed] = conformal.conformal_p_values(self.calibration_, scores[assessed])
        return found

    def heat_maps(self, images: Images) -> FloatArray:
        """Where the images look abnormal: ``(n_samples, *spatial)`` in [0, 1].

        ``heat_`` says from where on heat is unusual. All over a sample that cannot be assessed it
        is NaN: no heat would look as if it were normal.
        """
        if not self.makes_heat_maps:
            raise InputError(f"{type(self).__name__} makes no heat maps")
        prepared = self.prepared(images)
        maps = np.full((len(prepared), *prepared.shape[2:]), np.nan)
        for look in self.looks(prepared, heat_maps=True):
            maps[look.rows] = look.maps
        return of_all(maps, prepared, images)

    def assessable(self, prepared: Prepared) -> NDArray[np.int64]:
        """Rows of the samples that show enough anatomy, of a plausible kind."""
        return np.flatnonzero(self.plausible_.assessable(prepared, self._least_mm2))

    def by_plausible_anatomy(self, prepared: Prepared) -> Prepared:
        """Each sample by its first anatomy that is plausible, or else the last; all begins so."""
        return self.plausible_.by_first(prepared, self._least_mm2)

    def reasons(self, images: Images) -> dict[int, str]:
        """Why cases cannot be assessed: number of the case -> words, before a colon the kind."""
        prepared = self.prepared(images)
        found = self.plausible_.not_assessable(self.by_plausible_anatomy(prepared), self._least_mm2)
        return reasons_of_all(found, prepared, images)

    @property
    def _least_mm2(self) -> float:
        return self.recipe.geometry.least_anatomy_mm2

    def images(self, prepared: Prepared) -> LearningImages:
        """The assessable samples to learn from, and the recipe's nuisance.

        Raises:
            InputError: no sample shows enough anatomy.
        """
        rows, least = self.assessable(prepared), self._least_mm2
        if not len(rows):
            raise InputError(
                f"none of {len(prepared)} samples to learn from shows more than {least:g} mm2 of "
                "anatomy; look at the anatomy with `midclass show`, or lower "
                "geometry.least_anatomy_mm2"
            )
        return LearningImages(prepared, rows, self.recipe.nuisance_operator(), self.device)

    def save(self, folder: Path | str, *, overwrite: bool = False) -> None:
        """Write ``detector.json``, ``weights.safetensors`` and a model card; no code, no pickle."""
        check_is_fitted(self)
        with new_folder(Path(folder), overwrite=overwrite) as temporary:
            for name, content in files_of(self).items():
                (temporary / name).write_bytes(content)
