"""Options that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

KINDS = ("head", "chest", "breast")
"""Phantoms that ``demo`` knows."""
DETECTORS = (
    *("middle_class", "anatpaste", "autoencoder", "constrained", "cutpaste", "deep_svdd"),
    *("denoising_autoencoder", "feature_autoencoder", "ganomaly", "heads", "intensity"),
    *("linear_probe", "mahalanobis", "nearest_neighbour"),
    *("nsa", "one_class_svm", "padim", "patchcore", "pca", "perturbation", "reverse_distillation"),
    *("rotation", "simplenet", "supervised", "uncertainty_autoencoder"),
)
"""The method, and the baselines; named here, since to list them would import torch."""


def one_of(*names: str) -> Callable[[str], list[str]]:
    """What a shell completes to, of some names."""
    return lambda incomplete: [name for name in names if name.startswith(incomplete)]


def _recipes(incomplete: str) -> list[str]:
    from midclass.recipe.names import shipped

    return one_of(*shipped())(incomplete)


RecipeName: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE",
        help="A shipped recipe by name (midclass recipes lists them), or a .yaml file.",
        autocompletion=_recipes,
    ),
]
DetectorFolder: TypeAlias = Annotated[
    Path, typer.Argument(metavar="DETECTOR", help="Folder written by fit.")
]
Manifest: TypeAlias = Annotated[
    Path, typer.Option("--cohort", help="Manifest: a CSV file with a case a row.")
]
GivenImages: TypeAlias = Annotated[
    Path | None, typer.Option("--cohort", help="Manifest; generated phantoms without one.")
]
Split: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="Column with the parts of a split, by default split, or FILE.csv:COLUMN beside the "
        "manifest."
    ),
]
Part: TypeAlias = Annotated[
    str | None, typer.Option(help="Part of the split; by default train to fit, test to evaluate.")
]
Root: TypeAlias = Annotated[
    Path | None,
    typer.Option(help="Folder to which the manifest's paths are relative; by default its own."),
]
Seed: TypeAlias = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]
Cache: TypeAlias = Annotated[
    Path | None,
    typer.Option(help="Folder of prepared images; by default $MIDCLASS_CACHE or the user's cache."),
]
Trust: TypeAlias = Annotated[
    list[Path] | None,
    typer.Option(
        help="A .py file of yours, or an installed package, that is named and may run; may be "
        "repeated."
    ),
]
Patients: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="header|folder|file",
        autocompletion=one_of("header", "folder", "file"),
        help="By what patients are told apart: PatientID (else the study, else the file), or the "
        "folder or file alone.",
    ),
]
Key: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        help="File with the key by which patients' numbers are hashed; made where it is not there. "
        "By default one in your folder of settings."
    ),
]
Jobs: TypeAlias = Annotated[
    int | None,
    typer.Option(
        min=1, help="Processes that read and prepare images; by default one for each core."
    ),
]
DateOfObjects: TypeAlias = Annotated[
    datetime | None,
    typer.Option(formats=["%Y-%m-%d"], help="Date of the DICOM objects; by default now."),
]
Engine: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="local|ray",
        help="Processes, or the cluster at RAY_ADDRESS (or one here).",
        autocompletion=one_of("local", "ray"),
    ),
]
Overwrite: TypeAlias = Annotated[
    bool, typer.Option("--overwrite", help="Replace what midclass wrote there.")
]

QUOTA = Path("/sys/fs/cgroup/cpu.max")


@dataclass(frozen=True)
class Options:
    """What most commands share.

    Attributes:
        trust: files of the user's, and names of packages, that may run.
        cache: folder of prepared images; None is the default one.
        overwrite: replace what is there.
        jobs: processes that read and prepare images.
    """

    trust: tuple[Path, ...] = ()
    cache: Path | None = None
    overwrite: bool = False
    jobs: int = 1

    @classmethod
    def of(
        cls,
        trust: Sequence[Path] | None,
        cache: Path | None = None,
        overwrite: bool = False,
        jobs: int | None = 1,
    ) -> Options:
        """Of the command line, where an option that was not given is None."""
        return cls(tuple(trust or ()), cache, overwrite, jobs or cores())


def cores() -> int:
    """The cores that this process may use: by its affinity, and by the quota of a container."""
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    else:
        allowed = os.cpu_count() or 1
    try:  # "150000 100000": the time it may use of all cores in a period, both in microseconds
        quota, period = QUOTA.read_text(encoding="ascii").split()
        allowed = min(allowed, -(-int(quota) // int(period)))
    except (OSError, ValueError):  # not Linux, not limited ("max"), or an older kernel
        return allowed
    return max(1, allowed)


DEFAULTS = Options()
