"""Exceptions for what the user can put right, and what no failure of one case may end."""

import difflib
import re
import unicodedata
from collections.abc import Iterable

LONGEST = 1400
"""Characters of a message: more were given by a file, and tell nobody anything."""
LONGEST_NAME = 100
"""Characters of a name that are compared with those that exist."""


def escaped(text: str) -> str:
    """Text without anything that could steer a terminal or break a line.

    Control characters (C0 and C1, line ends too), signs that turn the direction of writing, other
    signs without a shape, and halves of characters are shown by their numbers.

    >>> escaped("scan\\x1b[2J.png")
    'scan\\\\x1b[2J.png'
    """
    unseen = ("C", "Zl", "Zp")
    return "".join(
        one.encode("unicode_escape").decode()
        if unicodedata.category(one).startswith(unseen)
        else one
        for one in text
    )


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint for a name that does not exist, or ""; case and separators do not count.

    >>> did_you_mean("diametr_mm", ["diameter_mm", "sign"])
    " (did you mean 'diameter_mm'?)"
    >>> did_you_mean("ROI-MM", ["roi_mm", "margin"])
    " (did you mean 'roi_mm'?)"
    """
    plain = {re.sub(r"[\W_]+", "_", one.casefold()): one for one in known}
    asked = re.sub(r"[\W_]+", "_", name[:LONGEST_NAME].casefold())
    close = difflib.get_close_matches(asked, list(plain), n=1)
    return f" (did you mean {plain[close[0]]!r}?)" if close else ""


class InputError(ValueError):
    """Something that the user gave is wrong.

    The message is one line that names the file, row or field, gives the number that was found,
    and says what to do. The command line prints it as it is and exits with code 2. Whatever a file
    put into it, it stays one line, see ``escaped``; of one that is longer than anybody reads the
    middle is left out.
    """

    def __init__(self, message: object = "") -> None:
        text = escaped(str(message))
        whole = len(text) <= LONGEST
        super().__init__(text if whole else f"{text[: LONGEST - 300]} ... {text[-200:]}")


class NoImage(InputError):  # noqa: N818 (no fault of anybody's)
    """A file that by its own words holds no image: a DICOMDIR, a report, a presentation state.

    Among the files of a folder it is no failure, and may be passed over with a note. A damaged
    image is never one: that is an ``InputError`` of the usual kind.
    """


STOPS = (KeyboardInterrupt, SystemExit, GeneratorExit)
"""What ends the work itself. All else that happens while one case is looked at is that case's
failure, also what is no ``Exception``: a panic in a decoder written in Rust is none."""


def in_one_line(error: BaseException) -> str:
    """The message of any error, on one line that any file can hold; its kind where it has none.

    >>> in_one_line(MemoryError())
    'MemoryError'
    """
    text = " ".join(str(error).split()).encode("utf-8", "backslashreplace").decode()
    if isinstance(error, InputError):
        return text
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__
