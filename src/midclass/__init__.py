"""midclass: knowledge-guided one-class classification for imbalanced medical images.

Public names are loaded on first use, so that ``midclass --help`` needs no torch:

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

if TYPE_CHECKING:
    from midclass.detectors.base import Detector as Detector
    from midclass.detectors.base import load_detector as load_detector
    from midclass.detectors.middle_class import MiddleClassDetector as MiddleClassDetector
    from midclass.errors import InputError as InputError
    from midclass.images.cohort import Cohort as Cohort
    from midclass.images.prepare import prepare as prepare
    from midclass.images.prepare import prepare_array as prepare_array
    from midclass.knowledge.base import Knowledge as Knowledge
    from midclass.recipe import Recipe as Recipe
    from midclass.types import ImageBatch as ImageBatch

__version__ = "0.1.0"

_HOME = {
    "Cohort": "midclass.images.cohort",
    "Detector": "midclass.detectors.base",
    "ImageBatch": "midclass.types",
    "InputError": "midclass.errors",
    "Knowledge": "midclass.knowledge.base",
    "MiddleClassDetector": "midclass.detectors.middle_class",
    "Recipe": "midclass.recipe",
    "load_detector": "midclass.detectors.base",
    "prepare": "midclass.images.prepare",
    "prepare_array": "midclass.images.prepare",
}
__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'midclass' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
