"""Lines: a CSV file of the user's, line by line; every mistake in it is named with its row."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from midclass.errors import InputError
from midclass.files import coding_of, refuse_no_file
from midclass.images.columns import KNOWN
from midclass.images.row import Row

LONGEST_LINE = 2**20
"""Characters of a header."""


def shortened(text: str) -> str:
    """A field in a message, in quotes; of a long one the beginning."""
    return repr(text if len(text) <= 80 else f"{text[:77]}...")


class Line(NamedTuple):
    """One line of a CSV file; it knows where it stands, for messages."""

    file: Path
    number: int
    fields: dict[str, str]

    def text(self, column: str) -> str:
        """A field without blanks around it; "" where the column is missing."""
        return self.fields.get(column, "")

    def wrong(self, column: str, expected: str) -> InputError:
        """The error for one field."""
        found = shortened(self.text(column))
        return InputError(f"{self.file}, row {self.number}: {column} is {found}, {expected}")

    def parsed(self) -> Row:
        """The line's values.

        Raises:
            InputError: names the first that is wrong.
        """
        for column, text in self.fields.items():
            if not text.isprintable() and column in KNOWN:
                raise self.wrong(column, "which has characters that cannot be printed")
        try:
            return Row.model_validate(self.fields)
        except ValidationError as error:
            first = error.errors()[0]
            expected = first["msg"].removeprefix("Value error, ")
            raise self.wrong(str(first["loc"][0]), expected) from None


BOOKS = {b"PK\x03\x04": "an Excel or OpenDocument file", b"\xd0\xcf\x11\xe0": "an Excel file"}


def _coding(path: Path) -> str:
    """Of the text of a file, by its first bytes; raises InputError for a file of no text."""
    refuse_no_file(path)
    with path.open("rb") as file:
        first = file.read(4)
    for mark, name in BOOKS.items():
        if first.startswith(mark):
            raise InputError(f"{path}: is {name}; save it as CSV (UTF-8)")
    return coding_of(first)


_TOLD = re.compile(r'"?sep=([,;\t])"?,*', re.IGNORECASE)
"""A line before the header, by which spreadsheets are told what separates the columns."""


def _delimiter(line: str) -> str:
    """What separates the columns of a header: where it has no comma, it may be another."""
    others = [mark for mark in (";", "\t") if mark in line]
    return others[0] if others and "," not in line else ","


def _records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The lines of a CSV file that are not blank, with their numbers."""
    coding = _coding(path)
    try:
        with path.open(newline="", encoding=coding) as file:
            first = file.readline(LONGEST_LINE)
            told = _TOLD.fullmatch(first.rstrip("\r\n"))
            if not told:
                file.seek(0)
            delimiter, header = told[1] if told else _delimiter(first), 2 if told else 1
            reader, number = csv.reader(file, delimiter=delimiter, strict=True), header
            for fields in reader:
                if any(fields) or number == header:
                    yield number, [field.strip() for field in fields]
                number = reader.line_num + header
    except (UnicodeError, csv.Error) as error:
        raise InputError(
            f"{path}: is not a CSV file in {coding.upper()}: {error}; save it as CSV (UTF-8)"
        ) from error


def columns_of(path: Path) -> list[str]:
    """The header of a CSV file."""
    columns = next((fields for _, fields in _records(path) if fields), [])
    if not columns:
        raise InputError(f"{path}: is empty")
    twice = [name for k, name in enumerate(columns) if name and name in columns[:k]]
    if twice:
        raise InputError(f"{path}: column {shortened(twice[0])} stands twice in the header")
    return columns


def lines_of(path: Path, columns: list[str]) -> Iterator[Line]:
    """The lines of a CSV file after its header, one at a time; blank ones do not count."""
    records = (record for record in _records(path) if record[1])
    next(records)
    for number, fields in records:
        if len(fields) != len(columns):
            raise InputError(
                f"{path}, row {number}: {len(fields)} fields, the header has {len(columns)}"
            )
        yield Line(path, number, dict(zip(columns, fields, strict=True)))


def check_column(path: Path, columns: Sequence[str], column: str) -> None:
    """Raise InputError that names a column which the header lacks."""
    if column not in columns:
        raise InputError(f"{path}: no column {column!r}; the columns are {', '.join(columns)}")
