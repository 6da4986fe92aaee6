"""Put the tables of the ablation and of the label-free choice into docs/knowledge.md."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from midclass.evaluation.metrics import auroc, by_patient
from midclass.evaluation.table import ScoreTable
from midclass.files import fill_blocks, write_or_check

HERE = Path(__file__).resolve().parent
LABEL_FREE = HERE.parent / "label_free"
DOCUMENT = HERE.parents[1] / "docs" / "knowledge.md"
TASKS = {
    "chest_xray": "Chest X-ray: pneumonia",
    "head_ct": "Head CT: haemorrhage (slices)",
    "mammography_roi": "Mammography: findings (regions)",
}
WAYS = {
    "last_log_odds": "last step, log-odds alone",
    "last_combined": "last step, scores chosen without labels",
    "chosen": "step and scores chosen without labels",
}


def tables(folder: Path) -> list[ScoreTable]:
    """All repeats of one detector."""
    return [ScoreTable.read(path) for path in sorted(folder.glob("*.csv"))]


def areas(folder: Path) -> list[float]:
    """AUROC over cases, repeat by repeat."""
    return [auroc(table.label, table.score) for table in tables(folder)]


def number(value: float) -> str:
    """``.83``."""
    return f"{value:.2f}".removeprefix("0")


def cell(values: list[float]) -> str:
    """``.83 (.80 to .85)``: mean, least and most of the repeats."""
    if not values:
        return ""
    return f"{number(float(np.mean(values)))} ({number(min(values))} to {number(max(values))})"


def ablation(task: str) -> str:
    """All operators, none, and each operator alone and left out."""
    scores = HERE / "scores" / task
    names = sorted(p.name.removeprefix("only_") for p in scores.glob("only_*"))
    lines = [
        f"### {TASKS[task]}",
        "",
        "| middle classes | AUROC, this alone | AUROC, all but this |",
        "|---|---|---|",
        f"| all of them | {cell(areas(scores / 'all'))} | |",
    ]
    alone = {name: areas(scores / f"only_{name}") for name in names}
    for name in sorted(names, key=lambda name: -float(np.mean(alone[name]))):
        without = cell(areas(scores / f"without_{name}"))
        lines.append(f"| {name.replace('_', ' ')} | {cell(alone[name])} | {without} |")
    lines.append(f"| no knowledge (control) | {cell(areas(scores / 'control'))} | |")
    return "\n".join(lines)


def findings() -> str:
    """Mammography by kind of finding: which knowledge finds which."""
    scores = HERE / "scores" / "mammography_roi"
    detectors = ["all", *sorted(path.name for path in scores.glob("only_*")), "control"]
    kinds = sorted({str(n) for t in tables(scores / "all") for n in t.class_name[t.label == 1]})
    lines = ["| trained on | " + " | ".join(kinds) + " |", "|---" * (1 + len(kinds)) + "|"]
    for detector in detectors:
        row = []
        for kind in kinds:
            found = []
            for table in tables(scores / detector):
                part = (table.label == 0) | (table.class_name == kind)
                if table.label[part].any():
                    found.append(auroc(table.label[part], table.score[part]))
            row.append(number(float(np.mean(found))) if found else "")
        lines.append(f"| {detector.replace('_', ' ')} | " + " | ".join(row) + " |")
    return "\n".join(lines)


def choice() -> str:
    """The three ways to end a training, task by task."""
    lines = [
        "| task | " + " | ".join(WAYS.values()) + " |",
        "|---" * (1 + len(WAYS)) + "|",
    ]
    for task, title in TASKS.items():
        row = [cell(areas(LABEL_FREE / "scores" / task / way)) for way in WAYS]
        lines.append(f"| {title} | " + " | ".join(row) + " |")
    patients = [
        cell([_per_patient(t) for t in tables(LABEL_FREE / "scores" / "head_ct" / way)])
        for way in WAYS
    ]
    lines.append("| Head CT (patients) | " + " | ".join(patients) + " |")
    return "\n".join(lines)


def _per_patient(table: ScoreTable) -> float:
    who = by_patient(table.score, table.label, table.patient_id, table.extra.get("slice"))
    return auroc(who[1], who[2])


def main() -> int:
    """Write the tables, or with ``--check`` compare them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only; 1 where they differ")
    check = parser.parse_args().check
    blocks = {task: ablation(task) for task in TASKS}
    blocks |= {"findings": findings(), "choice": choice()}
    new = fill_blocks(DOCUMENT.read_text(encoding="utf-8"), blocks)
    return int(not write_or_check(DOCUMENT, new, check=check))


if __name__ == "__main__":
    sys.exit(main())
