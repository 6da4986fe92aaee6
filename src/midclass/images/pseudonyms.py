"""Pseudonyms: what patients, studies and series are called in a manifest, by a key of the user's.

The same key gives the same names, so that manifests fit together; without it nobody can tell whose
they are, nor ask whether a patient is among them. Patients and accession numbers, of which there
are few, go through scrypt with the key (see ``identity.Seal``); UIDs, which nobody can guess,
through HMAC.
"""

from __future__ import annotations

import os
import secrets
import stat
import warnings
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from platformdirs import user_config_path

from midclass.errors import InputError
from midclass.images.identity import Seal
from midclass.images.private import CHECKED, open_new, open_own

LEAST_BYTES = 16
COST = 512
"""N of scrypt: a millisecond a patient."""


@dataclass(frozen=True)
class Pseudonyms:
    """Names made with a key.

    Attributes:
        seal: made of the key.

    >>> names = Pseudonyms.of(b"a key that nobody knows")
    >>> names.patient("4711") == names.patient("4711"), names.patient("4711") == "4711"
    (True, False)
    """

    seal: Seal

    @classmethod
    def of(cls, key: bytes) -> Pseudonyms:
        """With a key of at least 16 bytes."""
        return cls(Seal(sha256(b"midclass manifest" + key).hexdigest()[:32], COST))

    @classmethod
    def from_file(cls, path: Path | None = None) -> Pseudonyms:
        """With the key in a file, blanks around it aside.

        Args:
            path: of the file; by default ``midclass/key`` in the user's folder of settings. It is
                made, for this user alone, where there is none.

        Raises:
            InputError: others can write to it, it cannot be read or made, or is too short.
        """
        file = default_key() if path is None else path
        try:
            if not os.path.lexists(file):
                _make(file)
            with open_own(file) as opened:
                key = opened.read().strip()
                shared = CHECKED and os.fstat(opened.fileno()).st_mode & (
                    stat.S_IRGRP | stat.S_IROTH
                )
        except OSError as error:
            reason = error.strerror or "others can write to it, or it is no file"
            raise InputError(
                f"{file}: the key for patients' names cannot be used ({reason}); name another file "
                "with --key"
            ) from None
        if len(key) < LEAST_BYTES:
            raise InputError(
                f"{file}: a key of {len(key)} bytes, at least {LEAST_BYTES} are needed; name a "
                "file that is not there with --key, and one is made"
            )
        if shared:
            warnings.warn(
                f"{file}: other users can read this key, and find out who is in a manifest; "
                f"chmod 600 {file}",
                UserWarning,
                stacklevel=2,
            )
        return cls.of(key)

    def patient(self, whose: str) -> str:
        """Of a patient."""
        return f"p-{self.seal.of_patient(f'patient {whose}')}"

    def accession(self, number: str) -> str:
        """Of an accession number."""
        return f"a-{self.seal.of_patient(f'accession {number}')}"

    def study(self, uid: str) -> str:
        """Of a study."""
        return f"t-{self.seal.of_image(f'study {uid}')}"

    def series(self, uid: str) -> str:
        """Of a series."""
        return f"s-{self.seal.of_image(f'series {uid}')}"

    def image(self, uid: str) -> str:
        """Of a file whose own name would tell whose it is."""
        return f"i-{self.seal.of_image(f'image {uid}')}"


def default_key() -> Path:
    """Where the key lies if none is named."""
    return user_config_path("midclass", appauthor=False) / "key"


def _make(file: Path) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open_new(file) as opened:
        opened.write(secrets.token_hex(32).encode() + b"\n")
    warnings.warn(
        f"{file}: a new key, by which patients' numbers are hashed; keep it, for with another the "
        "same patients have other names, and give it to nobody",
        UserWarning,
        stacklevel=3,
    )
