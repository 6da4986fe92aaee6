"""State of a training, on disk: whole, or known to be damaged."""

from __future__ import annotations

import io
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch

from midclass.files import new_file

STATE = "training.pt"
"""Its name in the folder of a training; it appears at the first checkpoint."""
_DIGEST = 32
"""Bytes at the end: SHA-256 of all before, since torch does not check its own sums."""
_END_OF_ZIP, _END = b"PK\x05\x06", 22
"""A state of earlier versions ends as torch ends it."""


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and numbers, whole or not at all.

    Raises CannotWriteError where the file system refuses; the state before stays.
    """
    buffer = io.BytesIO()  # torch does not say what kept it from writing to a file
    torch.save(state, buffer)
    with new_file(path) as file:
        file.write(buffer.getbuffer())
        file.write(sha256(buffer.getbuffer()).digest())


def read_state(path: Path) -> dict[str, Any]:
    """The state; a ValueError, or what torch raises, where it is damaged."""
    whole = path.read_bytes()
    data, digest = whole[:-_DIGEST], whole[-_DIGEST:]
    if sha256(data).digest() != digest:
        if whole[-_END:].startswith(_END_OF_ZIP):
            data = whole
        else:
            raise ValueError(f"{len(whole)} bytes that are not what was written")
    state: dict[str, Any] = torch.load(io.BytesIO(data), weights_only=True)
    return state
