"""Exceptions for what the user can put right, and what no failure of one case may end."""


class InputError(ValueError):
    """Something that the user gave is wrong.

    The message is one line that names the file, row or field, gives the number that was found,
    and says what to do. The command line prints it as it is and exits with code 2.
    """


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
