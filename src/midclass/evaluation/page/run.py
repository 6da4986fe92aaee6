"""Run: the files of one evaluation, read back; from them and nothing else a page is made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from midclass.errors import InputError
from midclass.evaluation.page import pictures
from midclass.evaluation.page.pictures import Pictures
from midclass.evaluation.page.place import ABOUT, PATIENTS, SCORES, SUMMARY
from midclass.evaluation.table import ScoreTable

SHEET = f"sheet.{pictures.FORMAT}"


@dataclass(frozen=True)
class Run:
    """One evaluation of a detector.

    Attributes:
        figures: what ``summary.json`` says.
        detector: what the detector says of itself; empty for evaluations of earlier versions.
        made: version, date and the like of the evaluation.
        table: scores of cases.
        patients: of patients; None where each has one case.
        nuisance: scores under each nuisance; None where they were not computed.
        pictures: None where none were kept.
        sheet: of contact; None without one.
    """

    figures: Mapping[str, Any]
    detector: Mapping[str, Any]
    made: Mapping[str, Any]
    table: ScoreTable
    patients: ScoreTable | None = None
    nuisance: ScoreTable | None = None
    pictures: Pictures | None = None
    sheet: bytes | None = None

    @classmethod
    def read(cls, folder: Path, nuisance: Path | None = None) -> Run:
        """Read the folder of an evaluation.

        Args:
            folder: written by ``midclass evaluate``.
            nuisance: a table of ``midclass nuisance`` for the same detector.

        Raises:
            InputError: a file is missing or damaged, or the nuisance table is of another threshold.
        """
        figures = _json(folder / SUMMARY)
        for name in ("auroc", "cases", "patients", "max_fpr", "promised"):
            if name not in figures:
                raise InputError(
                    f"{folder / SUMMARY}: has no field {name}; evaluate the detector again"
                )
        about = _json(folder / ABOUT) if (folder / ABOUT).exists() else {}
        table = ScoreTable.read(folder / SCORES)
        if "p_value" not in table.extra:
            raise InputError(f"{folder / SCORES}: no column p_value; evaluate the detector again")
        disturbed = None if nuisance is None else _nuisance(nuisance, table)
        of_patients, kept, sheet = (folder / name for name in (PATIENTS, pictures.NAME, SHEET))
        return cls(
            figures,
            about.get("detector", {}),
            about.get("evaluation", {}),
            table,
            ScoreTable.read(of_patients) if of_patients.exists() else None,
            disturbed,
            Pictures(kept) if kept.exists() else None,
            sheet.read_bytes() if sheet.exists() else None,
        )

    @property
    def target(self) -> str:
        """What is looked for, in words."""
        return str(self.recipe.get("target_class", "the target class"))

    @property
    def given(self) -> str:
        """What was learned from, in words."""
        return str(self.recipe.get("given_class", "the given class"))

    @property
    def recipe(self) -> Mapping[str, Any]:
        """The recipe in words; empty for evaluations of earlier versions."""
        told: Mapping[str, Any] = self.detector.get("recipe", {})
        return told


def _json(path: Path) -> dict[str, Any]:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read ({error}); evaluate again") from None
    if not isinstance(fields, dict):
        raise InputError(f"{path}: is a {type(fields).__name__} and no fields; evaluate again")
    return fields


def _nuisance(path: Path, table: ScoreTable) -> ScoreTable:
    found = ScoreTable.read(path)
    here, there = float(table.threshold[0]), float(found.threshold[0])
    if here != there:
        raise InputError(
            f"{path}: its threshold is {there:g}, that of the evaluation {here:g}; give the table "
            "that midclass nuisance wrote for this detector"
        )
    return found
