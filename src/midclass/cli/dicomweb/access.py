"""Access: where a DICOMweb server is, and by which secret; none is ever on the command line."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from midclass.cli.secret import secret_of
from midclass.errors import InputError


@dataclass(frozen=True)
class Access:
    """Where a server is, and what it is to be told.

    Attributes:
        url: of the service, without the end ``/studies``.
        token: of ``Authorization: Bearer``; "" for none.
        login: name and password of ``Authorization: Basic``; None for none.
    """

    url: str
    token: str = ""
    login: tuple[str, str] | None = None

    @classmethod
    def of(
        cls, url: str, token_file: Path | None = None, password_file: Path | None = None
    ) -> Access:
        """Of the command line.

        Args:
            url: http or https; without name and password.
            token_file: whose first line is a token.
            password_file: whose first line is ``NAME:PASSWORD``.

        Raises:
            InputError: the URL is none, holds a password, or would send a secret unencrypted; or a
                file is not as expected.

        >>> Access.of("https://pacs.example/dicom-web/studies/").url
        'https://pacs.example/dicom-web'
        """
        if token_file is not None and password_file is not None:
            raise InputError("give either --token-file or --password-file, not both")
        shown = _refuse(url)
        token, login = "", None
        if token_file is not None:
            token = secret_of(token_file, "a token")
            if not token or not token.isascii() or len(token.split()) != 1:
                raise InputError(f"{token_file}: its first line must be a token, without blanks")
        if password_file is not None:
            name, colon, password = secret_of(password_file, "NAME:PASSWORD").partition(":")
            if not name or not colon:
                raise InputError(f"{password_file}: its first line must be NAME:PASSWORD")
            login = name, password
        if (token or login) and not _private(url):
            raise InputError(
                f"{shown}: http would send the secret as it is; give the https:// address of the "
                "server, or a tunnel to it that begins on this machine"
            )
        return cls(shown, token, login)


def _refuse(url: str) -> str:
    """The URL as it is used; raise InputError for one that cannot be."""
    try:
        parts = urlsplit(url)
        host, inside, _ = parts.hostname, parts.username or parts.password, parts.port
    except ValueError:
        host, inside, parts = None, None, urlsplit("")
    if inside:
        raise InputError(
            "--dicomweb: the URL holds a name or a password, which others could read on the "
            "command line; put NAME:PASSWORD into a file and give it with --password-file"
        )
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
        raise InputError(
            f"--dicomweb {url}: expected the URL of a DICOMweb service, such as "
            "https://pacs.example/dicom-web"
        )
    return url.rstrip("/").removesuffix("/studies")


def _private(url: str) -> bool:
    """Whether what is sent there cannot be read on the way."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    return parts.scheme == "https" or local
