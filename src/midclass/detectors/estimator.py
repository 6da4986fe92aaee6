"""Estimator: what scikit-learn expects of a classifier, in its words, for arrays too.

A detector is a classifier of two classes, 0 (given) and 1 (target), and no outlier detector in
scikit-learn's sense: there ``predict`` gives -1 for an outlier, and a higher score is more normal.
Here the target class is the positive one, so that ``roc_auc_score(y, decision_function(X))``,
``cross_val_score(..., scoring="roc_auc")`` and saved score tables all need no minus.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeAlias, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from midclass.errors import InputError
from midclass.evaluation.ranking import FloatArray
from midclass.evaluation.table import UNKNOWN, NotAssessed
from midclass.images.arrays import as_array, prepare_array
from midclass.images.case import Case
from midclass.images.prepared import Prepared
from midclass.recipe.recipe import Recipe

Images: TypeAlias = Prepared | ArrayLike
"""Prepared images, or an array of them: ``(n, h, w)`` or ``(n, c, h, w)``, uint8, uint16, or
numbers in [0, 1]."""


def usual_device() -> torch.device:
    """A GPU where torch sees one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Estimator(ClassifierMixin, BaseEstimator, ABC):  # type: ignore[misc]
    """The manners of scikit-learn: parameters, ``clone``, what is fitted, arrays, decisions.

    Args:
        recipe: geometry, anatomy and intensity of the images, and what is known of the disease; or
            its name, or its ``.yaml`` file.
        max_fpr: false-alarm rate that ``fit`` promises.
        seed: of ``fit``.
        folds: of ``fit``.
        spacing_mm: of arrays, one number or ``(rows, cols)``; by default what the recipe assumes.
    """

    classes_: ClassVar[NDArray[np.int64]] = np.array([0, 1])
    takes_positives: ClassVar[bool] = False
    needs_positives: ClassVar[bool] = False
    threshold_: float

    def __init__(
        self,
        recipe: Recipe | str | Path,
        *,
        max_fpr: float = 0.05,
        seed: int = 0,
        folds: int | None = None,
        spacing_mm: float | tuple[float, float] | None = None,
    ) -> None:
        self.recipe = recipe
        self.max_fpr, self.seed, self.folds = max_fpr, seed, folds
        self.spacing_mm = spacing_mm
        self.device = usual_device()

    @property
    def recipe(self) -> Recipe:
        """The recipe; one that is set by its name is read at once."""
        return self._recipe

    @recipe.setter
    def recipe(self, recipe: Recipe | str | Path) -> None:
        self._recipe = recipe if isinstance(recipe, Recipe) else Recipe.load(recipe)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "threshold_")

    @abstractmethod
    def score_samples(self, images: Images) -> FloatArray:
        """Raw score of every case ``(n_cases,)``; NaN for one that cannot be assessed."""

    def decision_function(self, images: Images) -> FloatArray:
        """Score above the threshold ``(n_cases,)``; NaN for a case that cannot be assessed.

        Raises:
            NotFittedError: there is no threshold yet.
        """
        check_is_fitted(self)
        return self.score_samples(images) - self.threshold_

    def predict(self, images: Images, not_assessed: NotAssessed = "review") -> NDArray[np.int64]:
        """1 for abnormal, 0 for given class: ``(n_cases,)``.

        A case that cannot be assessed is 1, so that a person looks at it; with "leave" it is -1.

        Raises:
            NotFittedError: there is no threshold yet.
        """
        if not_assessed not in get_args(NotAssessed):
            raise InputError(f"not_assessed is {not_assessed!r}; give 'review' or 'leave'")
        decision = self.decision_function(images)
        unseen = 1 if not_assessed == "review" else UNKNOWN
        return np.where(np.isnan(decision), unseen, decision > 0).astype(np.int64)

    def prepared(self, images: Images) -> Prepared:
        """The images on the recipe's grid; what was prepared stays as it is.

        What was prepared may be scored by a detector that has learned, and has no threshold yet.

        Raises:
            NotFittedError: an array, and there is no threshold yet.
            InputError: an array of another kind, see ``prepare_array``.
        """
        if isinstance(images, Prepared):
            return images
        check_is_fitted(self)
        return prepare_array(images, self.recipe, self.spacing_mm, keep_going=True)

    def to_learn(
        self,
        images: Images,
        y: ArrayLike | None,
        groups: ArrayLike | None,
        positives: Images | None,
    ) -> tuple[Prepared, Prepared | None]:
        """The given class to learn from, and the positives.

        Args:
            images: prepared, or an array.
            y: labels of an array: rows with 1 are left out, unless the detector cannot do without
                positives; then they are these.
            groups: patients of an array; a row without one (None, NaN, "") is a patient of its own.
            positives: prepared, or an array, each row of a patient of its own.

        Raises:
            InputError: labels or patients that are not those of an array.
        """
        if isinstance(images, Prepared):
            if y is not None or groups is not None:
                raise InputError(
                    "prepared images know their labels and patients; leave out y and groups"
                )
            return images, self._known(positives)
        pixels = as_array(images)
        label = _labels(y, len(pixels))
        patients = None if groups is None else np.asarray(groups, object)
        if patients is not None and patients.shape != label.shape:
            raise InputError(
                f"groups of shape {patients.shape}, expected a patient for each of {len(label)} "
                "images"
            )
        given, target = np.flatnonzero(label != 1), np.flatnonzero(label == 1)
        if len(target) and positives is None and self.needs_positives:
            positives = self._of_array(pixels, target, 1, patients)
        if not len(given):
            raise InputError("y has no 0: there is no case of the given class to learn from")
        return self._of_array(pixels, given, 0, patients), self._known(positives)

    @classmethod
    def check_number_of_positives(cls, count: int, name: str = "") -> None:
        """Raise InputError, before any work, where it needs some and has none, or takes none."""
        name = name or cls.__name__
        if cls.needs_positives and not count:
            raise InputError(f"{name} needs some cases of the target class; give it positives")
        if count and not cls.takes_positives:
            raise InputError(f"{name} learns from the given class only; leave out positives")

    def _known(self, positives: Images | None) -> Prepared | None:
        if positives is None or isinstance(positives, Prepared):
            return positives
        pixels = as_array(positives)
        return self._of_array(pixels, np.arange(len(pixels)), 1, None)

    def _of_array(
        self,
        pixels: NDArray[Any],
        rows: NDArray[np.intp],
        label: int,
        patients: NDArray[Any] | None,
    ) -> Prepared:
        names = [f"{('array', 'positives')[label]}[{row}]" for row in rows]
        groups = None if patients is None else patients[rows]
        return prepare_array(
            pixels[rows],
            self.recipe,
            self.spacing_mm,
            case_id=names,
            patients=names if groups is None else groups,
            label=label,
        )


def of_all(found: FloatArray, prepared: Prepared, images: Images) -> FloatArray:
    """What was found of prepared cases ``(m, ...)``, of all ``(n, ...)``; NaN of the others.

    Images of an array that cannot be prepared are in no row of what was prepared.
    """
    if isinstance(images, Prepared):
        return found
    every = np.full((len(found) + len(prepared.failed), *found.shape[1:]), np.nan)
    every[_rows_of(prepared)] = found
    return every


def reasons_of_all(found: Mapping[int, str], prepared: Prepared, images: Images) -> dict[int, str]:
    """The same of reasons, with those of images that cannot be prepared."""
    if isinstance(images, Prepared):
        return dict(found)
    rows = _rows_of(prepared)
    failed = {_row(case): f"cannot be used: {why}" for case, why in prepared.failed}
    return {int(rows[case]): why for case, why in found.items()} | failed


def _row(case: Case) -> int:
    """In the array that was prepared."""
    return int(case.case_id.partition("[")[2][:-1])


def _rows_of(prepared: Prepared) -> NDArray[np.int64]:
    return np.array([_row(case) for case in prepared.cases], np.int64)


def _labels(y: ArrayLike | None, n: int) -> NDArray[np.int64]:
    """Labels ``(n,)``, all 0 where none are given."""
    if y is None:
        return np.zeros(n, np.int64)
    label = np.asarray(y)
    expected = f"expected {n} labels: 0 (given class) or 1 (target class)"
    if label.shape != (n,):
        raise InputError(f"y of shape {label.shape}, {expected}")
    if other := [one for one in label.tolist() if one not in (0, 1)]:
        raise InputError(f"y has {other[0]!r}, {expected}")
    return label.astype(np.int64)
