"""Exceptions for what the user can put right."""


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
