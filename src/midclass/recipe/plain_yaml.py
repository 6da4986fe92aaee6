"""Plain YAML: files of people's, read as YAML 1.2, within bounds, and never a surprise.

YAML 1.1, which PyYAML reads, takes ``yes`` for true, ``010`` for 8, ``1:30`` for 90 and ``1e3`` for
a word. Here plain words mean what the core schema of YAML 1.2.2 (chapter 10.3) says, and everything
that a recipe does not need is refused: tags, keys that are no words, a second document. What an
alias stands for counts as often as it stands there, so that a few bytes do not become millions of
values. Values are made of the parser's events one after the other, so that neither depth nor an
endless structure can exhaust anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from midclass.errors import InputError
from midclass.files import coding_of

LARGEST = 512 * 1024
"""Bytes of a file."""
DEEPEST = 24
"""Lists and mappings inside each other."""
MOST = 20_000
"""Values of a file, those of aliases included."""
LONGEST_NUMBER = 40
"""Characters of a number."""
LONGEST_KEY = 200
"""Characters of a key."""

WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
WHOLE = re.compile(r"[-+]?[0-9]+")
OTHER_BASE = {"0o": (8, re.compile(r"0o[0-7]+")), "0x": (16, re.compile(r"0x[0-9a-fA-F]+"))}
DECIMAL = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
INFINITE = re.compile(r"[-+]?\.(inf|Inf|INF)")
TEXT = ("!", "tag:yaml.org,2002:str")

Events: TypeAlias = Iterator[yaml.Event]


def read_yaml(path: Path) -> Any:
    """The value of a YAML file: mappings, lists, words, numbers, true, false and null.

    Raises:
        InputError: names the file, and the line where it can be told.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(LARGEST + 1)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    if len(raw) > LARGEST:
        raise InputError(f"{path}: is larger than {LARGEST // 1024} KiB, which no recipe is")
    coding = coding_of(raw)
    try:
        text = raw.decode(coding)
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: cannot be read as {coding}: {error.reason}") from error
    try:
        return _Reader(path, yaml.parse(text, yaml.SafeLoader)).document()
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InputError(f"{path}{line}: is not YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise InputError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error


class _Reader:
    """Values from the events of one file."""

    def __init__(self, path: Path, events: Events) -> None:
        self._path, self._events = path, events
        self._anchors: dict[str, tuple[Any, int]] = {}  # what was given a name, and its values
        self._count = 0

    def document(self) -> Any:
        """The one document; None where the file is empty."""
        value = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                value = self._value(next(self._events), 0)
                break
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                raise self._wrong(event, "a second document; put it into a file of its own")
        return value

    def _value(self, event: yaml.Event, depth: int) -> Any:
        before = self._count
        self._add(event, 1)
        if depth > DEEPEST:
            raise self._wrong(event, f"more than {DEEPEST} lists and fields inside each other")
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:  # also of what is still being read
                raise self._wrong(event, f"*{event.anchor} stands for nothing that is complete")
            value, size = self._anchors[event.anchor]
            self._add(event, size)
            return value
        assert isinstance(event, yaml.NodeEvent)
        anchor = event.anchor
        if isinstance(event, yaml.ScalarEvent):
            value = self._scalar(event)
        else:
            assert isinstance(event, yaml.CollectionStartEvent)
            if event.tag is not None:
                raise self._wrong(event, f"the tag {event.tag!r}, which no recipe needs")
            if isinstance(event, yaml.MappingStartEvent):
                value = self._mapping(depth)
            else:
                value = self._list(depth)
        if anchor is not None:
            self._anchors[anchor] = value, self._count - before
        return value

    def _mapping(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                raise self._wrong(event, "a key that is no word")
            if len(event.value) > LONGEST_KEY:
                raise self._wrong(event, f"a key of {len(event.value)} characters")
            if event.value in found:
                raise self._wrong(event, f"{event.value!r} twice", "is not YAML")
            self._add(event, 1)
            found[event.value] = None
            found[event.value] = self._value(next(self._events), depth + 1)
        return found

    def _list(self, depth: int) -> list[Any]:
        found = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            found.append(self._value(event, depth + 1))
        return found

    def _scalar(self, event: yaml.ScalarEvent) -> Any:
        text = str(event.value)
        if event.tag is not None and event.tag not in TEXT:
            raise self._wrong(event, f"the tag {event.tag!r}, which no recipe needs")
        if event.tag is not None or not event.implicit[0]:
            return text
        if text in WORDS:
            return WORDS[text]
        base, digits = OTHER_BASE.get(text[:2], (10, WHOLE))
        number = digits.fullmatch(text) or DECIMAL.fullmatch(text)
        if number and len(text) > LONGEST_NUMBER:
            raise self._wrong(event, f"a number of {len(text)} digits")
        if digits.fullmatch(text):
            return int(text, base)
        if INFINITE.fullmatch(text):
            return float(text.replace(".", ""))
        return float(text) if number else text

    def _add(self, event: yaml.Event, values: int) -> None:
        self._count += values
        if self._count > MOST:
            raise self._wrong(event, f"more than {MOST} values, aliases included")

    def _wrong(self, event: yaml.Event, what: str, how: str = "cannot be read") -> InputError:
        line = event.start_mark.line + 1 if event.start_mark else 1
        return InputError(f"{self._path}, line {line}: {how}: {what}")
