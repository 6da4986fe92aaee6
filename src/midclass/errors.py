"""One exception for what the user can put right."""


class InputError(ValueError):
    """Something that the user gave is wrong.

    The message is one line that names the file, row or field, gives the number that was found,
    and says what to do. The command line prints it as it is and exits with code 2.
    """
