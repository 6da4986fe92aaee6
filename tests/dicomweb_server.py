"""A small DICOMweb server for tests, strict about media types and boundaries (PS3.18)."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

import pydicom
import uvicorn
from pydicom.datadict import keyword_dict
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

JSON = "application/dicom+json"
PAGE = 2
"""Most answers at once: whoever does not ask on misses some."""
BOUNDARY = "a(b)c=_9"
"""Must be quoted, for the brackets and the sign of equality (RFC 2045)."""
LISTED = {
    "studies": ("StudyInstanceUID", "StudyDate", "PatientID"),
    "series": ("SeriesInstanceUID", "Modality", "SeriesNumber"),
    "instances": ("SOPInstanceUID", "SOPClassUID", "InstanceNumber"),
}


@dataclass
class Pacs:
    """What a server holds, and how it behaves.

    Attributes:
        files: by SOPInstanceUID.
        token: that each request must carry; "" for none.
        broken: SOPInstanceUIDs -> status with which it answers in place of the image.
        refused: parts of SeriesDescription of objects that it does not store.
        kind: media type of JSON.
        busy: requests that it answers with 503 before it answers any.
        asked: method and path of each request.
        sent: modalities of the objects of each request to store.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    token: str = ""
    broken: dict[str, int] = field(default_factory=dict)
    refused: tuple[str, ...] = ()
    kind: str = JSON
    busy: int = 0
    asked: list[str] = field(default_factory=list)
    sent: list[list[str]] = field(default_factory=list)
    url: str = ""

    def add(self, content: bytes) -> str:
        uid = str(pydicom.dcmread(BytesIO(content), stop_before_pixels=True).SOPInstanceUID)
        self.files[uid] = content
        return uid

    def held(self, **of: str) -> dict[str, pydicom.Dataset]:
        """The objects with such attributes, by SOPInstanceUID."""
        every = {u: pydicom.dcmread(BytesIO(c)) for u, c in self.files.items()}
        return {u: o for u, o in every.items() if all(o.get(k) == v for k, v in of.items())}

    def _allowed(self, request: Request) -> Response | None:
        self.asked.append(f"{request.method} {request.url.path.removeprefix('/dicom-web')}")
        if self.busy:
            self.busy -= 1
            return Response(status_code=503)
        if request.headers["host"] != urlsplit(self.url).netloc:
            return Response(status_code=421)
        if self.token and request.headers.get("authorization") != self.token:
            return Response(status_code=401)
        return None

    async def search(self, request: Request) -> Response:
        if (refusal := self._allowed(request)) is not None:
            return refusal
        if JSON not in request.headers["accept"]:
            return Response(status_code=406)
        asked = dict(request.query_params)
        limit, offset = int(asked.pop("limit", PAGE)), int(asked.pop("offset", 0))
        more = [asked.pop("includefield")] if "includefield" in asked else []
        if any(name not in keyword_dict for name in (*asked, *more)):
            return Response(status_code=400)
        level = request.url.path.rpartition("/")[2]
        names = {"study": "StudyInstanceUID", "series": "SeriesInstanceUID"}
        of = {names[k]: v for k, v in request.path_params.items()} | asked
        found: dict[str, Any] = {}
        for one in self.held(**of).values():
            told = pydicom.Dataset()
            for name in (*LISTED[level], *more):
                if name in one:
                    told[name] = one[name]
            found.setdefault(str(one[LISTED[level][0]].value), told.to_json_dict())
        page = list(found.values())[offset : offset + min(limit, PAGE)]
        return self._json(page) if page else Response(status_code=204)

    def _json(self, what: object, status: int = 200) -> Response:
        return JSONResponse(what, status, media_type=self.kind)

    async def retrieve(self, request: Request) -> Response:
        if (refusal := self._allowed(request)) is not None:
            return refusal
        wanted = 'multipart/related; type="application/dicom"; transfer-syntax=*'
        if request.headers["accept"] != wanted:
            return Response(status_code=406)
        uid = request.path_params["instance"]
        if uid in self.broken or uid not in self.files:
            return Response(status_code=self.broken.get(uid, 404))
        # No line end before the first boundary: RFC 2046 has it only after something.
        body = (
            f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
            + self.files[uid]
            + f"\r\n--{BOUNDARY}--\r\n".encode()
        )
        kind = f'multipart/related; type="application/dicom"; boundary="{BOUNDARY}"'
        return Response(body, headers={"Content-Type": kind})

    async def metadata(self, request: Request) -> Response:
        if (refusal := self._allowed(request)) is not None:
            return refusal
        series = request.path_params["series"]
        return self._json([o.to_json_dict() for o in self.held(SeriesInstanceUID=series).values()])

    async def store(self, request: Request) -> Response:
        if (refusal := self._allowed(request)) is not None:
            return refusal
        kind = request.headers["content-type"]
        match = re.fullmatch(
            r'multipart/related; type="application/dicom"; boundary="([^"]{1,70})"', kind
        )
        if match is None:
            return Response(status_code=415)
        end = b"\r\n--" + match[1].encode()
        first, *parts, last = (b"\r\n" + await request.body()).split(end)
        if first.strip() or last.strip() != b"--" or not parts:
            return Response(status_code=400)
        told, failed = pydicom.Dataset(), list[pydicom.Dataset]()
        told.ReferencedSOPSequence = []
        self.sent.append([])
        for part in parts:
            head, _, content = part.partition(b"\r\n\r\n")
            if head.strip() != b"Content-Type: application/dicom":
                return Response(status_code=400)
            one = pydicom.dcmread(BytesIO(content))
            self.sent[-1].append(one.Modality)
            said = pydicom.Dataset()
            said.ReferencedSOPClassUID = one.SOPClassUID
            said.ReferencedSOPInstanceUID = one.SOPInstanceUID
            if one.StudyInstanceUID != request.path_params["study"] or any(
                text in one.SeriesDescription for text in self.refused
            ):
                said.FailureReason = 0xA700
                failed.append(said)
            else:
                self.add(content)
                told.ReferencedSOPSequence.append(said)
        if failed:
            told.FailedSOPSequence = failed
        status = 200 if not failed else 202 if told.ReferencedSOPSequence else 409
        return self._json(told.to_json_dict(), status)

    def app(self) -> Starlette:
        root = "/dicom-web/studies"
        series = root + "/{study}/series"
        one = series + "/{series}"
        return Starlette(
            routes=[
                Route(root, self.search),
                Route(root + "/{study}", self.store, methods=["POST"]),
                Route(series, self.search),
                Route(one + "/instances", self.search),
                Route(one + "/metadata", self.metadata),
                Route(one + "/instances/{instance}", self.retrieve),
            ]
        )


@contextmanager
def running(pacs: Pacs) -> Iterator[Pacs]:
    """The server, on a free port of this machine, until the block ends."""
    server = uvicorn.Server(uvicorn.Config(pacs.app(), port=0, log_level="critical"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    pacs.url = f"http://127.0.0.1:{port}/dicom-web"
    yield pacs
    server.should_exit = True
    thread.join()
