"""Equipment: which devices took the images of a score table, and at what spacing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from midclass.evaluation.table import ScoreTable


def equipment_of(table: ScoreTable) -> dict[str, Any]:
    """``devices`` with their cases, most first, and the spacing as ``Period`` has it."""
    found = Counter(filter(None, _devices(table))).items()
    counts = sorted(found, key=lambda one: (-one[1], one[0]))
    said = "; ".join(f"{device} ({count})" for device, count in counts)
    spacing = np.asarray(table.extra.get("spacing_mm", ()), np.float64)
    spacing = spacing[np.isfinite(spacing)]
    told = [float(of(spacing)) if len(spacing) else None for of in (np.median, np.min, np.max)]
    names = ("spacing_mm", "spacing_low", "spacing_high")
    return {"devices": said, **dict(zip(names, told, strict=True))}


def _devices(table: ScoreTable) -> list[str]:
    """As texts, also where a model is a number; "" where there is none."""
    values = table.extra.get("device", np.zeros(0, np.str_)).tolist()
    return ["" if one != one else f"{one:g}" if isinstance(one, float) else one for one in values]


def first_seen(tables: Mapping[str, ScoreTable]) -> dict[str, str]:
    """Devices that no period before had, with the period; of the first period none.

    >>> from dataclasses import replace
    >>> one = ScoreTable.of(["a"], ["p"], [-1], [0.0], extra={"device": np.array(["X"])})
    >>> first_seen({"w1": one, "w2": replace(one, extra={"device": np.array(["Y"])})})
    {'Y': 'w2'}
    """
    seen: dict[str, str] = {}
    for period, table in tables.items():
        for device in sorted({*_devices(table)} - {""}):
            seen.setdefault(device, period)
    first = next(iter(tables), "")
    return {device: period for device, period in seen.items() if period != first}
