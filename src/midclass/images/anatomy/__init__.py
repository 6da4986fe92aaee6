"""Anatomy: where in an image disease can be; recipes name these functions ``anatomy.NAME``."""

from midclass.images.anatomy.base import foreground, on_black, on_white, whole
from midclass.images.anatomy.brain_mr import brain
from midclass.images.anatomy.chest_xray import lungs, lungs_by_template
from midclass.images.anatomy.fundus import retina
from midclass.images.anatomy.head_ct import intracranial, intracranial_by_bone
from midclass.images.anatomy.mammogram import breast
from midclass.images.anatomy.skin import pigmented
from midclass.images.anatomy.ultrasound import sonogram

__all__ = [
    "brain",
    "breast",
    "foreground",
    "intracranial",
    "intracranial_by_bone",
    "lungs",
    "lungs_by_template",
    "on_black",
    "on_white",
    "pigmented",
    "retina",
    "sonogram",
    "whole",
]
