"""Cases of a page: a row each, and the pictures that find room in it."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from midclass.evaluation.page.pictures import Pictures
from midclass.evaluation.page.run import Run
from midclass.evaluation.report import examples
from midclass.evaluation.table import UNKNOWN, ScoreTable

Which: TypeAlias = Literal["some", "all", "none"]
"""Which cases have their picture on the page."""
ROOM = 3_200_000
"""Bytes of pictures on a page; as text they take a third more, and a page has 5 MB at most."""
MOST = 20_000
"""Cases that are listed: of more, a browser would take long."""
SHOWN = 8
"""Cases of each kind of error that are shown."""


def listed(table: ScoreTable) -> NDArray[np.int64]:
    """Rows of the cases that are listed, the most suspicious first, those not assessed before."""
    order = np.lexsort((-table.score, table.assessed))  # NaN, which comes last, is not assessed
    return order[:MOST]


def errors(table: ScoreTable) -> dict[str, NDArray[np.int64]]:
    """Rows of the worst misses, the worst false alarms and the clearest hits."""
    found = examples(table, SHOWN)
    return {name: found[name] for name in ("misses", "false alarms", "hits")}


def rows(table: ScoreTable, which: NDArray[np.int64]) -> list[list[Any]]:
    """What a page knows of each case, for its script.

    Case, patient, label (None where not known), kind, score, threshold, p-value, flag and reason;
    None in place of what a case that was not assessed does not have.
    """
    return [
        [
            str(table.case_id[row]),
            str(table.patient_id[row]),
            None if table.label[row] == UNKNOWN else int(table.label[row]),
            str(table.class_name[row]),
            _short(table.score[row]),
            _short(table.threshold[row]),
            _short(table.extra["p_value"][row]),
            int(table.flagged[row]) if table.assessed[row] else None,
            str(table.reason[row]),
        ]
        for row in which.tolist()
    ]


def shown(run: Run, which: Which, listed: NDArray[np.int64], seed: int = 0) -> dict[int, list[str]]:
    """The pictures of cases as data URIs: image, and heat where there is any.

    Errors come first, then cases not assessed and the most suspicious, and in turn with these
    others at random, until there is no more room.

    Args:
        run: with pictures.
        which: cases.
        listed: rows that are on the page.
        seed: of the others.

    Returns:
        Place among ``listed`` -> data URIs.
    """
    if run.pictures is None or which == "none":
        return {}
    place = {row: number for number, row in enumerate(listed.tolist())}
    names = list(_with_room(run, run.pictures, which, listed, seed))
    read = iter(run.pictures.read([name for _, both in names for name in both]))
    return {place[row]: [uri(name, next(read)) for name in both] for row, both in names}


def _with_room(
    run: Run, pictures: Pictures, which: Which, listed: NDArray[np.int64], seed: int
) -> Iterator[tuple[int, list[str]]]:
    room = ROOM if which == "some" else np.inf
    for row in _by_interest(run.table, listed, seed):
        case = str(run.table.case_id[row])
        room -= pictures.size(case)
        if room < 0:
            return
        if both := pictures.names(case):
            yield row, both


def _by_interest(table: ScoreTable, listed: NDArray[np.int64], seed: int) -> list[int]:
    there = listed.tolist()
    first = [row for some in errors(table).values() for row in some.tolist()]
    sample = np.random.default_rng(seed).permutation(listed).tolist()
    turns = [row for pair in zip(there, sample, strict=True) for row in pair]
    inside = set(there)
    return list(dict.fromkeys(row for row in (*first, *turns) if row in inside))


def uri(name: str, picture: bytes) -> str:
    """A picture as text in a page; its name says its kind."""
    kind = name.rpartition(".")[2]
    return f"data:image/{kind};base64,{b64encode(picture).decode()}"


def _short(value: float) -> float | None:
    return None if np.isnan(value) else float(f"{value:.6g}")


def patients(table: ScoreTable) -> Sequence[dict[str, Any]]:
    """A row for each patient, the most suspicious first."""
    return [
        {
            "patient": str(table.case_id[row]),
            "label": int(table.label[row]),
            "score": float(table.score[row]),
            "p_value": float(table.extra["p_value"][row]),
            "cases": int(table.extra["cases"][row]),
            "not_assessed": int(table.extra["cases_not_assessed"][row]),
            "flagged": bool(table.flagged[row]),
            "assessed": bool(table.assessed[row]),
            "judged": not np.isnan(table.threshold[row]),
        }
        for row in listed(table).tolist()
    ]
