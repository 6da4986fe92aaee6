"""Damage that knows CSV: cells, columns, rows, separators and encodings."""

from __future__ import annotations

import csv
import io

import numpy as np

from fuzz.spoil import pick
from fuzz.texts import near

CELLS = (
    "",
    " ",
    "0",
    "1",
    "2",
    "-1",
    "0.5",
    "1e400",
    "nan",
    "inf",
    "-0",
    "٣",
    "1,5",
    "0.4;0.4;0.4",
    "yes",
)
CELLS += (
    "=1+1",
    "\x1b[31m",
    "a\nb",
    '"',
    "x" * 140_000,
    "../a.png",
    "/etc/passwd",
    "images",
    "NULL",
    "1e-300",
)
CELLS += (
    "a.png",
    "L",
    "left",
    "train",
    "TRAIN",
    "test",
    "99999999999999999999",
    "1_0",
    "0x10",
    "\u202e",
    "²",
)


def spoil_csv(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    rows = list(csv.reader(io.StringIO(data.decode())))
    k, c = int(rng.integers(len(rows))), int(rng.integers(len(rows[0])))
    kind = int(rng.integers(9))
    if kind <= 2:
        k = max(k, 1)
        rows[k][c] = pick(rng, CELLS)
        what = f"row {k + 1} {rows[0][c]} {rows[k][c]!r}"[:100]
    elif kind == 3:
        old = rows[0][c]
        rows[0][c] = near(old, rng)
        what = f"column {old} {rows[0][c]!r}"
    elif kind == 4:
        for row in rows:
            del row[c]
        what = f"column {c} removed"
    elif kind == 5:
        names = (
            "Split",
            "PatientID",
            "spacing",
            "path",
            "label",
            "x",
            "y",
            "index",
            "frame",
            "mask",
            "",
            "array",
        )
        name = pick(rng, names)
        for number, row in enumerate(rows):
            row.append(pick(rng, CELLS) if number else name)
        what = f"column {name!r} added"
    elif kind == 6:
        changes = [
            rows + rows[1:],
            rows[:1],
            rows[1:],
            [r[:-1] for r in rows],
            [*rows, ["a"]],
            [[]],
        ]
        changes += [[rows[0] * 2000, *rows[1:]], [*rows[:2], *rows[:2]], [[*r, ""] for r in rows]]
        at = int(rng.integers(len(changes)))
        rows, what = changes[at], f"rows {at}"
    else:
        text = data.decode()
        whole = (
            text.replace(",", ";"),
            text.replace(",", "\t"),
            text.replace("\n", "\r"),
            "\ufeff" + text,
        )
        whole += (
            text.replace(",", '","'),
            text + '"',
            text.replace("\n", "\0\n", 2),
            "",
            "\n\n\n",
            text + "\0",
        )
        whole += (
            "#" + text,
            "path\n" * 2,
            text.replace("\n", "\r\n"),
            text.upper(),
            '"' + text,
            "sep=,\n" + text,
        )
        at = int(rng.integers(len(whole) + 2))
        if at >= len(whole):
            code = ("utf-16", "latin-1")[at - len(whole)]
            return text.replace("n", "é").encode(code), code
        return whole[at].encode(), f"text {at}"
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().encode("utf-8", "surrogatepass"), what
