"""Checks that any operator must pass, yours too: ``check_operator(MyOperator())`` in a test."""

from midclass.testing.anatomy import OF_LESION, Overlap, anatomy_overlaps
from midclass.testing.contract import PROMISES, Finding, check_operator, findings
from midclass.testing.scenes import example_batch

__all__ = [
    "OF_LESION",
    "PROMISES",
    "Finding",
    "Overlap",
    "anatomy_overlaps",
    "check_operator",
    "example_batch",
    "findings",
]
