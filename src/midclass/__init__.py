"""midclass: knowledge-guided one-class classification for imbalanced medical images.

The one door for notebooks, and for operators and detectors of your own. Public names are loaded on
first use, so that ``midclass --help`` needs no torch:

>>> import midclass
>>> recipe = midclass.Recipe.load("mammography")
>>> list(recipe.middle_classes)
['mass', 'spiculation', 'calcification']

Notebook, from arrays ``(n, c, h, w)`` in [0, 1]::

    given = midclass.prepare_array(images, recipe, spacing_mm=1.7)
    detector = midclass.MiddleClassDetector(recipe).fit(given, max_fpr=0.05)
    detector.predict(midclass.prepare_array(new_images, recipe, spacing_mm=1.7))
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from midclass.version import __version__

if TYPE_CHECKING:
    from midclass.detectors.base import Detector as Detector
    from midclass.detectors.middle_class import MiddleClassDetector as MiddleClassDetector
    from midclass.detectors.storage import load_detector as load_detector
    from midclass.errors import InputError as InputError
    from midclass.evaluation.report import report as report
    from midclass.evaluation.table import ScoreTable as ScoreTable
    from midclass.images.arrays import prepare_array as prepare_array
    from midclass.images.cohort import Case as Case
    from midclass.images.cohort import Cohort as Cohort
    from midclass.images.prepare import prepare as prepare
    from midclass.images.prepared import Prepared as Prepared
    from midclass.knowledge.adapter import per_image as per_image
    from midclass.knowledge.base import Knowledge as Knowledge
    from midclass.recipe.recipe import Recipe as Recipe
    from midclass.testing import check_operator as check_operator
    from midclass.testing import example_batch as example_batch
    from midclass.training.lesson import LearningImages as LearningImages
    from midclass.training.lesson import Lesson as Lesson
    from midclass.training.loop import train as train
    from midclass.types import ImageBatch as ImageBatch
    from midclass.types import Length as Length
    from midclass.types import Lengths as Lengths
    from midclass.types import Middle as Middle
    from midclass.types import Params as Params
    from midclass.types import Progress as Progress
    from midclass.types import Range as Range

_HOME = {
    "Case": "midclass.images.cohort",
    "Cohort": "midclass.images.cohort",
    "Detector": "midclass.detectors.base",
    "ImageBatch": "midclass.types",
    "InputError": "midclass.errors",
    "Knowledge": "midclass.knowledge.base",
    "LearningImages": "midclass.training.lesson",
    "Length": "midclass.types",
    "Lengths": "midclass.types",
    "Lesson": "midclass.training.lesson",
    "Middle": "midclass.types",
    "MiddleClassDetector": "midclass.detectors.middle_class",
    "Params": "midclass.types",
    "Prepared": "midclass.images.prepared",
    "Progress": "midclass.types",
    "Range": "midclass.types",
    "Recipe": "midclass.recipe.recipe",
    "ScoreTable": "midclass.evaluation.table",
    "check_operator": "midclass.testing",
    "example_batch": "midclass.testing",
    "load_detector": "midclass.detectors.storage",
    "per_image": "midclass.knowledge.adapter",
    "prepare": "midclass.images.prepare",
    "prepare_array": "midclass.images.arrays",
    "report": "midclass.evaluation.report",
    "train": "midclass.training.loop",
}
__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'midclass' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
