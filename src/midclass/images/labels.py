"""Labels: which class an image is of, by the name of its folder or by a row of a table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from midclass.errors import InputError
from midclass.images.columns import PARTS, TEST, TRAIN, plain
from midclass.images.formats.dicom_attributes import keyword_of
from midclass.images.lines import check_column, columns_of, lines_of, shortened
from midclass.images.row import LABELS

GIVEN = frozenset(
    (
        *("normal", "normals", "negative", "negatives", "healthy", "control", "controls"),
        *("nofinding", "nofindings", "given", "givenclass", "gesund", "unauffällig"),
    )
)
"""Names of the given class, without case and separators, where the user gives none."""
UNLABELLED = frozenset(
    (
        *("", "na", "nan", "null", "unknown", "unsure", "uncertain", "unlabelled", "unlabeled"),
        *("indeterminate", "tbd", "pending", "nolabel", "notlabelled", "notlabeled", "notassessed"),
        *("notavailable", "notreported", "notdone", "notapplicable", "keineangabe"),
    )
)
DOUBTFUL = frozenset(("none", "nil"))
"""Perhaps no disease, perhaps no label."""
DENIES = re.compile(
    r"(no|not|without|wo|neg|false|kein\w*|ohne|sans|negativ\w*|normal\w*|healthy|controls?|"
    r"gesund\w*|unremarkable|unauffällig\w*)"
)
"""Words by which a class reads as if it were the given one: *no metastases*, *control group*."""
OF_IMAGES = ("path", "file", "case_id")
"""What a table can be joined on that is no attribute: the path, the name without folders."""
MOST_CLASSES, LONGEST = 60, 60


class Label(NamedTuple):
    """What is known of an image's class; ``unsure`` says why nothing is."""

    label: int | None = None
    class_name: str = ""
    unsure: str = ""


def label_of(word: str, given: frozenset[str]) -> Label:
    """The label that a word means: 0 for the given class, 1 for any other.

    Args:
        word: ``0``, ``1``, or the name of a class.
        given: names of the given class, as ``plain`` has them.

    Raises:
        InputError: it may mean this or that.

    >>> label_of("No finding", GIVEN), *(label_of(word, GIVEN).label for word in ("flu", "?"))
    (Label(label=0, class_name='No finding', unsure=''), 1, None)
    """
    text = " ".join("".join(one if one.isprintable() else " " for one in word).split())
    if text in LABELS:
        return Label(LABELS[text])
    name = plain(text)
    if name in given:
        return Label(0, text[:LONGEST])
    if name in DOUBTFUL:
        raise InputError(
            f"{text!r} may mean no disease, or that nobody looked; say --given {text}, or leave "
            "the label empty"
        )
    if name in UNLABELLED:
        return Label()
    if given == GIVEN and any(map(DENIES.fullmatch, re.findall(r"[^\W_]+", text.casefold()))):
        raise InputError(
            f"{shortened(text)}, which may deny disease, be one, or say that nobody looked; name "
            "all words of the given class with --given (all others are disease then), and leave "
            "the label empty where nobody looked"
        )
    return Label(1, text[:LONGEST])


def names_of_given(names: Iterable[str]) -> frozenset[str]:
    """The names of the given class: the user's, else the usual ones."""
    return frozenset(map(plain, names)) or GIVEN


class OfFolders(NamedTuple):
    """What the folders above an image say."""

    part: str
    word: str


def by_folder(called: str) -> OfFolders:
    """The part of a split, where the first folder is called train, test or validation; the class.

    >>> by_folder("chest/train/NORMAL/a.png".removeprefix("chest/")), by_folder("flu/p1/a.dcm")
    (OfFolders(part='train', word='NORMAL'), OfFolders(part='', word='flu'))
    """
    folders = Path(called).parts[:-1]
    part = ""
    if folders and plain(folders[0]) in PARTS:
        name = plain(folders[0])
        part = "train" if name in TRAIN else "test" if name in TEST else "validation"
        folders = folders[1:]
    return OfFolders(part, folders[0] if folders else "")


def classes_of_folders(called: Iterable[str]) -> list[str]:
    """What folders could be taken for classes, where one is named like the given class.

    >>> classes_of_folders(["polyp/p1/a.jpg", "normal/p2/a.jpg"]), classes_of_folders(["p1/a.jpg"])
    (['normal', 'polyp'], [])
    """
    words = sorted({by_folder(one).word for one in called} - {""})
    return words if any(map(like_given, words)) else []


def like_given(folder: str) -> bool:
    """Whether its name begins as those of the given class do."""
    return plain(folder).startswith(tuple(GIVEN))


@dataclass(frozen=True)
class LabelTable:
    """Labels by a key, from a CSV file of the user's, such as an export of the RIS.

    Attributes:
        file: for messages.
        key: what it is joined on: a keyword of DICOM, or one of ``OF_IMAGES``.
        labels: key -> label.
    """

    file: Path
    key: str
    labels: Mapping[str, Label]

    @classmethod
    def read(
        cls, file: Path, on: str | None, column: str | None, given: frozenset[str]
    ) -> LabelTable:
        """Read it: separated by commas, semicolons or tabs, with a mark (BOM) or without.

        Args:
            file: the table.
            on: ``KEY``, or ``COLUMN=KEY`` where the column has another name; None looks for one.
            column: with the labels, 0, 1 or names of classes; None is ``label``.
            given: names of the given class.

        Raises:
            InputError: a column is missing or a label cannot be understood. Rows of one key that
                contradict each other leave its images without a label.
        """
        columns = columns_of(file)
        name, key = _key(file, columns, on)
        wanted = _column(file, columns, column)
        found: dict[str, tuple[int, Label]] = {}
        words = set[str]()
        for line in lines_of(file, columns):
            value, word = line.text(name), line.text(wanted)
            words.add(plain(word))
            if len(words) > MOST_CLASSES:
                raise InputError(
                    f"{file}: column {wanted} has more than {MOST_CLASSES} different words, which "
                    "are no classes; name the column of labels with --label-column"
                )
            try:
                label = label_of(word, given)
            except InputError as error:
                raise InputError(f"{file}, row {line.number}: {wanted} is {error}") from None
            if not value or label.label is None:
                continue
            row, known = found.setdefault(value, (line.number, label))
            if known.label != label.label:
                said = f"rows {row} and {line.number} of {file.name} contradict each other"
                found[value] = row, Label(None, unsure=said)
        return cls(file, key, {value: label for value, (_, label) in found.items()})

    def of(self, values: Sequence[str]) -> Label:
        """The label of an image with this key; none where there is no row."""
        return next((self.labels[value] for value in values if value in self.labels), Label())

    def refuse_strangers(self, keys: set[str]) -> None:
        """Raise InputError where no row is of any image.

        Args:
            keys: of the images.
        """
        if keys & self.labels.keys():
            return
        bare = {key.lstrip("0") for key in keys}
        without = sum(value.lstrip("0") in bare for value in self.labels)
        zeros = (
            f"; {without} would be without leading zeros, which spreadsheets remove: export the "
            "column as text"
            if without
            else ""
        )
        raise InputError(
            f"{self.file}: none of its {len(self.labels)} labelled rows has the {self.key} of an "
            f"image in the folder ({len(keys)} different ones there){zeros}"
        )


def _key(file: Path, columns: Sequence[str], on: str | None) -> tuple[str, str]:
    """The column to join on, and what of an image it is."""
    if on is None:
        known = ("AccessionNumber", "PatientID", "StudyInstanceUID", "SeriesInstanceUID")
        usual = {plain(one): one for one in (*known, "SOPInstanceUID", *OF_IMAGES)}
        there = [name for name in columns if plain(name) in usual]
        if len(there) != 1:
            raise InputError(
                f"{file}: say on which column to join with --on, such as --on AccessionNumber; the "
                f"columns are {', '.join(columns)}"
            )
        return there[0], usual[plain(there[0])]
    name, _, key = on.rpartition("=")
    key = key if key in OF_IMAGES else keyword_of(key)
    if name:
        check_column(file, columns, name)
        return name, key
    fits = [one for one in columns if plain(one) == plain(key)]
    if not fits:
        raise InputError(
            f"{file}: no column {key}; if another has it, say --on COLUMN={key}. The columns are "
            f"{', '.join(columns)}"
        )
    return fits[0], key


def _column(file: Path, columns: Sequence[str], column: str | None) -> str:
    if column is not None:
        check_column(file, columns, column)
        return column
    fits = [one for one in columns if plain(one) == "label"]
    if not fits:
        shown = ", ".join(shortened(one) for one in columns)
        raise InputError(f"{file}: no column label; name it with --label-column, one of {shown}")
    return fits[0]
