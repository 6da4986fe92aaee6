"""Web: the service by HTTP. This is the only file that imports FastAPI, of ``midclass[serve]``."""

from __future__ import annotations

import asyncio
import hmac
from dataclasses import dataclass
from typing import Any

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect

from midclass.cli.service.scorer import Scorer
from midclass.cli.service.worker import Worker
from midclass.errors import InputError
from midclass.version import __version__

NAME = "file"
"""What a file that was sent is called: its own name may be a patient's."""
LOOPBACK = ("127.0.0.1", "localhost")
PATIENCE_S = 60.0
"""To receive a file; who sends it a byte at a time keeps a place from others."""


@dataclass(frozen=True)
class Terms:
    """What is taken, and from whom.

    Attributes:
        bytes: of a file.
        token: that each request must carry; "" where none is asked for.
        hosts: by which names the service may be called; a page of another site that makes its own
            name point here would be called otherwise. None takes any.
    """

    bytes: int = 64 * 2**20
    token: str = ""
    hosts: tuple[str, ...] | None = LOOPBACK


def service(scorer: Scorer, worker: Worker, terms: Terms) -> FastAPI:
    """The application.

    Args:
        scorer: of the answers.
        worker: that scores.
        terms: what is taken.
    """
    # No pages that a browser would fetch from elsewhere; the schema is at /openapi.json.
    app = FastAPI(title="midclass", version=__version__, docs_url=None, redoc_url=None)
    if terms.hosts is not None:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(terms.hosts))

    async def known(request: Request) -> None:
        given = request.headers.get("authorization", "")
        if terms.token and not hmac.compare_digest(
            given.encode("utf-8", "replace"), f"Bearer {terms.token}".encode()
        ):
            raise HTTPException(401, "send the token: Authorization: Bearer TOKEN")

    @app.get("/health")
    async def health() -> dict[str, Any]:
        """Whether the service is there, and how many files wait."""
        return {"status": "ok", "waiting": worker.waiting}

    @app.get("/about", dependencies=[Depends(known)])
    async def about() -> dict[str, Any]:
        """Which detector scores here, and what it promises."""
        return scorer.about()

    @app.post("/score", dependencies=[Depends(known)])
    async def score(request: Request) -> dict[str, Any]:
        """Score one file, which is the body of the request as it is."""
        if not worker.reserve():
            raise HTTPException(
                503, "as many files wait as there is room for; try again", {"Retry-After": "5"}
            )
        try:
            data = await asyncio.wait_for(_body(request, terms.bytes), PATIENCE_S)
            scored = await asyncio.wrap_future(worker.submit(NAME, data))
        except asyncio.TimeoutError:
            raise HTTPException(408, f"no whole file within {PATIENCE_S:g} s") from None
        except asyncio.CancelledError:
            raise HTTPException(503, "the service ends") from None
        except ClientDisconnect:
            raise HTTPException(400, "the file was not sent to its end") from None
        finally:
            worker.release()
        return scorer.answer(scored)

    @app.exception_handler(InputError)
    async def refused(request: Request, error: InputError) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, 422)

    return app


async def _body(request: Request, most: int) -> bytes:
    """The body of a request, of at most so many bytes."""
    too_large = HTTPException(413, f"a file has more than the {most} bytes that are taken")
    said = request.headers.get("content-length", "0")
    if said.isdigit() and int(said) > most:
        raise too_large
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > most:
            raise too_large
    if not data:
        raise HTTPException(422, "no file; send it as the body: curl --data-binary @image.dcm")
    return bytes(data)
