"""Server: QIDO-RS, WADO-RS and STOW-RS (PS3.18) by the library dicomweb-client.

This is the only file that imports it, of ``midclass[dicomweb]``, and its HTTP library. What a
server answers is not repeated in messages: it may hold a name.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pydicom
import requests
from dicomweb_client import DICOMwebClient
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from midclass.cli.dicomweb.access import Access
from midclass.cli.dicomweb.answers import (
    RemoteImage,
    RemoteSeries,
    number_at,
    paged,
    reason_of,
    text_at,
    values_at,
)
from midclass.errors import STOPS, InputError
from midclass.evaluation.dicom.uids import MAKER

TIMEOUT_S = (10.0, 120.0)
"""To connect, and between two parts of an answer."""
BUSY = (429, 503, 504)
"""Answers after which a question is asked again, three times at most."""
ANY_SYNTAX = (("application/dicom", "*"),)
"""As the server keeps them: nothing is decoded and packed again on the way."""
WAYS_OUT = {
    401: "give what it takes with --token-file FILE or --password-file FILE",
    403: "this token or name may not do that; ask whoever runs the server",
    404: "it does not hold that, or no DICOMweb is at this URL; Orthanc's ends in /dicom-web",
    413: "it takes no requests of this size; ask whoever runs the server",
}
for name in ("dicomweb_client", "retrying"):  # what they say of answers is for no terminal
    logging.getLogger(name).addHandler(logging.NullHandler())
    logging.getLogger(name).propagate = False


class Retrieved(NamedTuple):
    """An instance as a file.

    Attributes:
        content: its bytes.
        ours: midclass made it, it is no image of a patient.
    """

    content: bytes
    ours: bool


class NotGivenError(InputError):
    """A server does not give one instance; it may give others."""


class DicomWeb:
    """A DICOMweb server.

    Certificates are verified. What is asked for waits as long as ``TIMEOUT_S``.

    Args:
        access: where it is.
    """

    def __init__(self, access: Access) -> None:
        self.url = access.url
        session = requests.Session()
        # Retries of the library would wait half a minute for a server that is not there.
        again = Retry(
            connect=0,
            read=0,
            other=0,
            status=3,
            status_forcelist=BUSY,
            backoff_factor=0.5,
            raise_on_status=False,
        )
        for scheme in ("https://", "http://"):
            session.mount(scheme, HTTPAdapter(max_retries=again))
        if access.token:
            session.auth = _bearer(access.token)  # else a .netrc would go before it
        elif access.login:
            session.auth = tuple(part.encode() for part in access.login)
        session.headers["Accept"] = "application/dicom+json"  # of STOW-RS; others name theirs
        self._client = DICOMwebClient(
            self.url, session, callback=_plain_json, permissive_uid=True, timeout=TIMEOUT_S
        )
        self._client.set_http_retry_params(retry=False)
        self._client.host = urlsplit(self.url).netloc  # of the header Host, to which a port belongs

    def studies(self, filters: Mapping[str, str]) -> list[str]:
        """StudyInstanceUIDs of the studies with such attributes, by keyword.

        Raises:
            InputError: the server cannot be asked.
        """
        with self._told("search for studies"):
            return list(paged(self._client.search_for_studies, "0020000D", search_filters=filters))

    def series(self, study: str) -> list[RemoteSeries]:
        """The series of a study; none where the server does not hold it.

        Raises:
            InputError: as above.
        """
        with self._told(f"search for series of study {study}"):
            found = paged(
                self._client.search_for_series,
                "0020000E",
                study_instance_uid=study,
                fields=["SeriesDescription"],
            )
            return [
                RemoteSeries(study, uid, text_at(one, "00080060"), text_at(one, "0008103E"))
                for uid, one in found.items()
            ]

    def images(self, series: RemoteSeries) -> list[RemoteImage]:
        """The instances of a series, by InstanceNumber.

        Raises:
            InputError: as above.
        """
        with self._told(f"search for instances of series {series.uid}"):
            found = paged(
                self._client.search_for_instances,
                "00080018",
                study_instance_uid=series.study,
                series_instance_uid=series.uid,
            )
        by_number = sorted(found, key=lambda uid: (number_at(found[uid], "00200013"), uid))
        return [RemoteImage(series.study, series.uid, uid) for uid in by_number]

    def reported(self, study: str, series: str) -> set[str]:
        """SOPInstanceUIDs of the images that the reports of a series are about.

        Raises:
            InputError: as above.
        """
        with self._told(f"read the reports of series {series}"):
            found = self._client.retrieve_series_metadata(study, series)
            return {
                text_at(image, "00081155")
                for report in found
                for of_study in values_at(report, "0040A375")  # what the report rests on
                for of_series in values_at(of_study, "00081115")
                for image in values_at(of_series, "00081199")
            }

    def retrieve(self, image: RemoteImage) -> Retrieved:
        """One instance, as the server keeps it.

        Raises:
            NotGivenError: the server does not give this one.
            InputError: it gives none, or cannot be asked.
        """
        with self._told(f"retrieve instance {image.uid}", one=True):
            dataset = self._client.retrieve_instance(*image, media_types=ANY_SYNTAX)
            if dataset.get("SOPInstanceUID") != image.uid:
                raise NotGivenError(f"{self.url}: gave another image than {image.uid}")
            file = BytesIO()
            pydicom.dcmwrite(file, dataset)
            return Retrieved(file.getvalue(), dataset.get("Manufacturer") == MAKER)

    @staticmethod
    def study_of(file: Path) -> str:
        """StudyInstanceUID of a DICOM file."""
        return str(pydicom.dcmread(file, specific_tags=["StudyInstanceUID"]).StudyInstanceUID)

    def store(self, study: str, files: Sequence[Path]) -> dict[Path, str]:
        """Send objects of one study; which were not stored, and why.

        Raises:
            InputError: the server takes none, or cannot be asked.
        """
        objects = {file: pydicom.dcmread(file) for file in files}
        with self._told(f"store {len(files)} objects in study {study}"):
            try:
                answer = self._client.store_instances(list(objects.values()), study)
            except requests.HTTPError as error:
                if error.response is None or error.response.status_code != 409:
                    raise
                answer = _of_refusal(error.response)  # none of these; others it may take
            stored = {str(one.ReferencedSOPInstanceUID) for one in _of(answer, "ReferencedSOP")}
            failed = {
                str(one.ReferencedSOPInstanceUID): reason_of(int(one.get("FailureReason") or 0))
                for one in _of(answer, "FailedSOP")
            }
        uids = {file: str(one.SOPInstanceUID) for file, one in objects.items()}
        return {
            file: failed.get(uid, "the server does not say that it was stored")
            for file, uid in uids.items()
            if uid in failed or uid not in stored
        }

    @contextmanager
    def _told(self, what: str, *, one: bool = False) -> Iterator[None]:
        """Turn what goes wrong into one line; with ``one`` that of an instance ends nothing."""
        failure, reason = InputError, ""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # they are about the server's manners
                yield
            return
        except (InputError, *STOPS):
            raise
        except requests.HTTPError as error:
            status = 0 if error.response is None else error.response.status_code
            later = "see the server's log, or try again later"
            reason = f"HTTP {status}; {WAYS_OUT.get(status, later)}"
            failure = NotGivenError if one and status not in (401, 403) else InputError
        except requests.exceptions.SSLError:
            reason = (
                "its certificate is not trusted, or of another name; set REQUESTS_CA_BUNDLE to the "
                "file with your hospital's certificates"
            )
        except requests.Timeout:
            reason = f"no answer within {TIMEOUT_S[1]:g} s; try again later"
        except requests.ConnectionError:
            reason = "cannot be reached; look at the address and port, or whether it runs"
        except Exception as error:  # whatever a server may send
            reason = f"the answer cannot be understood ({type(error).__name__}); is it DICOMweb?"
            failure = NotGivenError if one else InputError
        raise failure(f"{self.url}: cannot {what}: {reason}") from None


def _bearer(token: str) -> Callable[[Any], Any]:
    def sign(request: Any) -> Any:
        request.headers["Authorization"] = f"Bearer {token}"
        return request

    return sign


def _plain_json(response: Any, *_: object, **__: object) -> Any:
    """Leave out ``; charset=utf-8``, with which the library takes JSON for nothing."""
    kind = response.headers.get("Content-Type", "")
    if "json" in kind:
        response.headers["Content-Type"] = kind.partition(";")[0].strip().lower()
    return response


def _of_refusal(response: Any) -> Any:
    """What an answer 409 says of each object; nothing where it is not in JSON."""
    try:
        return pydicom.Dataset.from_json(response.json())
    except Exception:  # it may be a page, or empty
        return pydicom.Dataset()


def _of(answer: Any, name: str) -> Sequence[Any]:
    items: Sequence[Any] = answer.get(f"{name}Sequence") or ()
    return items
