"""Put the tables of the ablation and of the label-free choice into docs/knowledge.md."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from midclass import ScoreTable
from midclass.evaluation.metrics import auroc, by_patient
from midclass.evaluation.report import auroc_of
from midclass.files import fill_blocks
from midclass.study.markdown import figure, page_command, table, with_limits

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
    """AUROC of assessed cases, repeat by repeat."""
    return [auroc_of(one) for one in tables(folder)]


def cell(values: list[float]) -> str:
    """``.83 (.80 to .85)``: mean, least and most of the repeats."""
    if not values:
        return ""
    return with_limits(float(np.mean(values)), min(values), max(values), digits=2)


def ablation(task: str) -> str:
    """All operators, none, and each operator alone and left out."""
    scores = HERE / "scores" / task
    names = sorted(p.name.removeprefix("only_") for p in scores.glob("only_*"))
    alone = {name: areas(scores / f"only_{name}") for name in names}
    names.sort(key=lambda name: -float(np.mean(alone[name])))
    rows = [
        ["all of them", cell(areas(scores / "all")), ""],
        *(
            [name.replace("_", " "), cell(alone[name]), cell(areas(scores / f"without_{name}"))]
            for name in names
        ),
        ["no knowledge (control)", cell(areas(scores / "control")), ""],
    ]
    head = ["middle classes", "AUROC, this alone", "AUROC, all but this"]
    return f"### {TASKS[task]}\n\n{table(head, rows, tight=True)}"


def findings() -> str:
    """Mammography by kind of finding: which knowledge finds which."""
    scores = HERE / "scores" / "mammography_roi"
    detectors = ["all", *sorted(path.name for path in scores.glob("only_*")), "control"]
    kinds = sorted({str(n) for t in tables(scores / "all") for n in t.class_name[t.label == 1]})
    rows = []
    for detector in detectors:
        row = [detector.replace("_", " ")]
        for kind in kinds:
            found = []
            for one in tables(scores / detector):
                part = (one.label == 0) | (one.class_name == kind)
                if one.label[part & one.assessed].any():
                    found.append(auroc_of(one.take(part)))
            row.append(figure(float(np.mean(found)), digits=2) if found else "")
        rows.append(row)
    return table(["trained on", *kinds], rows, tight=True)


def choice() -> str:
    """The three ways to end a training, task by task."""
    scores = LABEL_FREE / "scores"
    rows = [
        [title, *(cell(areas(scores / task / way)) for way in WAYS)]
        for task, title in TASKS.items()
    ]
    patients = [[_per_patient(one) for one in tables(scores / "head_ct" / way)] for way in WAYS]
    rows.append(["Head CT (patients)", *map(cell, patients)])
    return table(["task", *WAYS.values()], rows, tight=True)


def _per_patient(found: ScoreTable) -> float:
    scores = np.where(found.assessed, found.score, -np.inf)
    _, label, score = by_patient(scores, found.label, found.patient_id)
    seen = np.isfinite(score)  # patients of whom any slice was assessed
    return auroc(label[seen], score[seen])


def page() -> str:
    """The document with its tables as the scores on disk have them."""
    blocks = {task: ablation(task) for task in TASKS}
    blocks |= {"findings": findings(), "choice": choice()}
    return fill_blocks(DOCUMENT.read_text(encoding="utf-8"), blocks)


def main() -> int:
    """Write the tables, or with ``--check`` compare them."""
    return page_command(__doc__, lambda: {DOCUMENT: page()})


if __name__ == "__main__":
    sys.exit(main())
