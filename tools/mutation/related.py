"""Which files are mutated, and which tests are closely related to each."""

from __future__ import annotations

from pathlib import Path

MUTATED = (
    "src/midclass/evaluation",
    "src/midclass/images",
    "src/midclass/detectors/base.py",
    "src/midclass/training/loop.py",
    "src/midclass/training/loss.py",
)
NOT_MUTATED = ("src/midclass/images/formats", "src/midclass/images/phantoms")

RELATED = {
    "evaluation/bootstrap.py": ("test_metrics.py", "test_comparison.py", "test_robustness.py"),
    "evaluation/comparison.py": ("test_comparison.py", "test_not_assessed.py"),
    "evaluation/conformal.py": ("test_calibration.py",),
    "evaluation/metrics.py": ("test_metrics.py", "test_evaluation.py"),
    "evaluation/plots.py": ("test_plots.py", "test_sheet.py", "test_not_assessed.py"),
    "evaluation/ranking.py": ("test_metrics.py", "test_comparison.py"),
    "evaluation/report.py": (
        "test_evaluation.py",
        "test_not_assessed.py",
        "test_robustness.py",
        "test_results.py",
    ),
    "evaluation/table.py": ("test_results.py", "test_evaluation.py", "test_not_assessed.py"),
    "evaluation/uncertainty.py": ("test_comparison.py",),
    "evaluation": ("test_metrics.py", "test_comparison.py", "test_evaluation.py"),
    "images/anatomy": (
        "test_anatomy.py",
        "test_ct.py",
        "test_bone.py",
        "test_laws_of_anatomy.py",
        "test_laws_of_images.py",
    ),
    "images/case.py": ("test_manifest.py", "test_cohort.py"),
    "images/cohort.py": ("test_cohort.py", "test_manifest.py", "test_laws_of_images.py"),
    "images/identity.py": ("test_evaluation.py", "test_cohort.py", "test_prepare.py"),
    "images/manifest.py": ("test_manifest.py", "test_cohort.py", "test_evaluation.py"),
    "images/row.py": ("test_manifest.py", "test_cohort.py", "test_evaluation.py"),
    "images": ("test_prepare.py", "test_laws_of_images.py", "test_cohort.py"),
    "detectors/base.py": (
        "test_laws_of_fitting.py",
        "test_detectors.py",
        "test_not_assessed.py",
        "test_robustness.py",
        "test_one_look.py",
    ),
    "training": ("test_laws_of_fitting.py", "test_training.py", "test_self_supervised.py"),
}
"""Module or folder -> test files; the longest name that fits counts."""


def mutated_files(root: Path) -> list[str]:
    """The files that are mutated, relative to the repository, sorted."""
    found = {file for name in MUTATED for file in [root / name, *(root / name).rglob("*.py")]}
    names = sorted(str(file.relative_to(root)) for file in found if file.suffix == ".py")
    return [name for name in names if not name.startswith(NOT_MUTATED)]


def related_tests(root: Path, file: str) -> list[str]:
    """What pytest is given for a mutated file: its own examples, then the related test files."""
    module = file.removeprefix("src/midclass/")
    name = max((name for name in RELATED if module.startswith(name)), key=len)
    tests = [f"tests/{test}" for test in RELATED[name]]
    return [file, *(test for test in tests if (root / test).exists())]
