"""Secret: a token or a password from a file; on a command line every user of a machine sees it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from midclass.cli.console import note
from midclass.errors import InputError


def secret_of(file: Path, what: str) -> str:
    """The first line of a file without blanks around it; "" where it is empty.

    A note says where other users can read the file.

    Args:
        file: with the secret.
        what: it is, such as ``"a token"``.

    Raises:
        InputError: the file cannot be read.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "token")
    ...     _ = file.write_text("abc \\n"), file.chmod(0o600)
    ...     secret_of(file, "a token")
    'abc'
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
        mode = os.stat(file).st_mode
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is no text"
        raise InputError(f"{file}: {reason}; give a file with {what}") from None
    if os.name != "nt" and mode & (stat.S_IRGRP | stat.S_IROTH):
        note(f"note: {file}: other users can read {what}; chmod 600 {file}")
    return lines[0].strip() if lines else ""
