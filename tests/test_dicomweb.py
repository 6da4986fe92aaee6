"""DICOMweb: images of a server are scored like files, and what is said of them goes back to it."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pydicom
import pytest
from click.testing import Result
from typer.testing import CliRunner

from dicom_images import NAME, knowing_discs, written
from makers import discs, recipe
from midclass import InputError
from midclass.cli.app import app
from midclass.evaluation.table import ScoreTable

for needed in ("dicomweb_client", "highdicom", "uvicorn"):
    pytest.importorskip(needed, reason=f"{needed} is not installed")
from dicomweb_server import JSON, Pacs, running  # noqa: E402
from midclass.cli.dicomweb import images  # noqa: E402
from midclass.cli.dicomweb.access import Access  # noqa: E402
from midclass.cli.dicomweb.answers import RemoteImage  # noqa: E402
from midclass.cli.dicomweb.server import DicomWeb  # noqa: E402
from midclass.cli.dicomweb.store import store_folder  # noqa: E402

PLUGIN = Path("/usr/share/orthanc/plugins")
STUDY = "1.2.3.4"
SLICES, PROJECTIONS = "1.2.3.4.5", "1.2.3.4.6"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector ``d``, and in ``files`` three slices of a patient and a radiograph of another."""
    home = tmp_path_factory.mktemp("dicomweb")
    knowing_discs(home / "d")
    (home / "files").mkdir()
    for number in range(3):
        images = discs(1, number, square=0.6 * (number == 1))[:, 0]
        more = {"InstanceNumber": 3 - number, "ManufacturerModelName": "Acme"}
        written(home / f"files/{number}.dcm", "CT", images, **more)
    other = {"PatientID": "78", "SeriesInstanceUID": PROJECTIONS, "ManufacturerModelName": "Acme"}
    written(home / "files/3.dcm", "CR", discs(1, 9)[:, 0], **other)
    return home


@pytest.fixture(scope="module")
def server() -> Iterator[Pacs]:
    with running(Pacs()) as pacs:
        yield pacs


@pytest.fixture
def pacs(server: Pacs, home: Path, monkeypatch: pytest.MonkeyPatch) -> Pacs:
    """The server with the files and nothing else, in good manners."""
    fresh = Pacs(url=server.url)
    vars(server).update(vars(fresh))
    for file in sorted((home / "files").iterdir()):
        server.add(file.read_bytes())
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return server


def score(home: Path, to: Path, *words: object, code: int = 0) -> Result:
    """Score into the folder ``to``; of a server where one is named."""
    call = ["score", home / "d", "--out", to / "s.csv", *words]
    call += ["--date", "2024-05-06"] * ("--dicom" in words)
    done = CliRunner().invoke(app, list(map(str, call)))
    assert done.exit_code == code, done.output
    assert NAME not in done.output
    return done


def retrieved(pacs: Pacs) -> list[str]:
    return [line.rpartition("/")[2] for line in pacs.asked if "/instances/" in line]


def test_images_of_a_server_have_the_scores_of_their_files_and_leave_nothing(
    home: Path, pacs: Pacs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MIDCLASS_CACHE", "TMPDIR", "HOME"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(name, str(tmp_path / name))
    (tmp_path / "web").mkdir()
    said = score(home, tmp_path / "web", "--dicomweb", pacs.url, "--study", STUDY, "--equipment")
    assert sorted(path.name for path in (tmp_path / "web").iterdir()) == [
        *("s.csv", "s.provenance.json", "s_patients.csv", "s_series.csv")
    ]
    for name in ("MIDCLASS_CACHE", "TMPDIR", "HOME"):
        assert not list((tmp_path / name).iterdir())
    score(home, tmp_path, home / "files", "--cache", tmp_path / "cache", "--equipment")
    of_files = ScoreTable.read(tmp_path / "s.csv").columns()
    of_server = ScoreTable.read(tmp_path / "web/s.csv").columns()
    uid_of = {f.name: str(pydicom.dcmread(f).SOPInstanceUID) for f in (home / "files").iterdir()}
    for name, column in of_files.items():
        if name in ("case_id", "patient_id", "series_id"):
            column = np.array([uid_of[one] for one in column])
        order = np.argsort([uid_of[one] for one in of_files["case_id"]])
        mine = of_server[name][np.argsort(of_server["case_id"])]
        np.testing.assert_array_equal(mine, column[order], name)
    assert set(of_server["device"]) == {"Acme"}
    assert "4 cases scored" in said.output
    assert not any("POST" in line for line in pacs.asked)


def test_an_image_comes_as_the_server_keeps_it_or_not_at_all(home: Path, pacs: Pacs) -> None:
    client = DicomWeb(Access(pacs.url))
    content = (home / "files/0.dcm").read_bytes()
    uid = pacs.add(content)
    assert client.retrieve(RemoteImage(STUDY, SLICES, uid)).content == content
    pacs.files["1.2.3.99"] = content
    with pytest.raises(InputError, match=r"gave another image than 1\.2\.3\.99"):
        client.retrieve(RemoteImage(STUDY, SLICES, "1.2.3.99"))


def test_what_was_said_goes_back_and_is_not_said_twice(
    home: Path, pacs: Pacs, tmp_path: Path
) -> None:
    pacs.token = "Bearer abc123"
    pacs.kind = f"{JSON}; charset=utf-8"
    (tmp_path / "token").write_text("abc123\n")
    (tmp_path / "token").chmod(0o600)
    before = set(pacs.files)
    asked = ["--dicomweb", pacs.url, "--study", STUDY, "--series", PROJECTIONS]
    asked += ["--token-file", tmp_path / "token"]
    to_store = [*asked, "--dicom", tmp_path / "o", "--store"]
    said = score(home, tmp_path, *to_store)
    written_ = {f.name: f.read_bytes() for f in (tmp_path / "o").glob("*.dcm")}
    assert f"{len(written_)} of {len(written_)} objects" in said.output
    assert {u: c for u, c in pacs.files.items() if u not in before} == {
        str(pydicom.dcmread(tmp_path / "o" / name).SOPInstanceUID): content
        for name, content in written_.items()
    }
    others, reports = pacs.sent
    assert reports == ["SR"]
    assert others
    assert "SR" not in others
    pacs.asked.clear()
    second = score(home, tmp_path, *to_store, "--overwrite")
    assert "nothing to score" in second.output
    assert "images already scored by this detector (1)" in second.output
    assert not retrieved(pacs)
    assert not any("POST" in line for line in pacs.asked)
    new = written(tmp_path / "9.dcm", "CR", discs(1, 6)[:, 0], SeriesInstanceUID=PROJECTIONS)
    late = pacs.add(new.read_bytes())
    score(home, tmp_path, *asked, "--overwrite")
    assert retrieved(pacs) == [late]
    assert ScoreTable.read(tmp_path / "s.csv").case_id.tolist() == [late]
    score(home, tmp_path, *asked, "--overwrite", "--again")
    assert len(ScoreTable.read(tmp_path / "s.csv")) == 2


def test_an_image_that_the_server_does_not_give_is_not_assessed_and_others_are(
    home: Path, pacs: Pacs, tmp_path: Path
) -> None:
    lost = sorted(pacs.held(SeriesInstanceUID=SLICES))[1]
    pacs.broken = {lost: 500}
    words = ["--dicomweb", pacs.url, "--query", "StudyDate=20200102", "--series", SLICES]
    said = score(home, tmp_path, *words, "--equipment", "--json", code=1)
    table = ScoreTable.read(tmp_path / "s.csv")
    assert len(table) == json.loads(said.stdout)["cases"] == 3
    assert table.case_id[~table.assessed].tolist() == [lost]
    (reason,) = table.reason[~table.assessed]
    assert "HTTP 500" in reason
    assert pacs.url in reason


def test_what_is_not_stored_is_named_and_its_report_held_back(
    home: Path, pacs: Pacs, tmp_path: Path
) -> None:
    pacs.refused = ("capture",)
    words = ["--dicomweb", pacs.url, "--study", STUDY, "--series", PROJECTIONS]
    said = score(home, tmp_path, *words, "--dicom", tmp_path / "o", "--store", code=1)
    assert "it has no room, or does not take objects of this class" in said.output
    assert "not all about its image was stored" in said.output
    assert not pacs.held(Modality="SR")
    pacs.refused = ()
    again = score(home, tmp_path, *words, "--dicom", tmp_path / "o", "--store", "--overwrite")
    assert "1 cases scored" in again.output
    assert len(pacs.held(Modality="SR")) == 1


def test_where_the_server_went_away_what_was_to_be_stored_is_kept(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(home / "files/0.dcm", tmp_path / "0_report.dcm")
    assert not store_folder(DicomWeb(Access("http://127.0.0.1:9")), tmp_path)
    (line,) = capsys.readouterr().err.splitlines()
    assert (
        f"cannot be reached; look at the address and port, or whether it runs; {tmp_path}" in line
    )
    assert "--overwrite tries again" in line


def test_series_without_pictures_of_a_patient_are_passed_over(
    home: Path, pacs: Pacs, tmp_path: Path
) -> None:
    for number, fields in enumerate(
        (
            {"Modality": "SEG", "SeriesInstanceUID": "1.2.3.4.7"},
            {"Manufacturer": "midclass", "SeriesInstanceUID": "1.2.3.4.8"},
            {"SeriesDescription": "midclass capture. Research", "SeriesInstanceUID": "1.2.3.4.9"},
        )
    ):
        file = written(tmp_path / f"8{number}.dcm", "CT", discs(1, 3)[:, 0], **fields)
        pacs.add(file.read_bytes())
    said = score(home, tmp_path, "--dicomweb", pacs.url, "--study", STUDY)
    assert "4 cases scored" in said.output
    for why in ("series of Modality SEG (1)", "series made by midclass (1)", "images made by"):
        assert why in said.output
    assert retrieved(pacs).count("1.2.3.2.81") == 1  # only its header says whose it is
    assert not {"1.2.3.2.80", "1.2.3.2.82"} & set(retrieved(pacs))


def test_images_of_another_plane_are_passed_over(home: Path, pacs: Pacs, tmp_path: Path) -> None:
    """A server has reformatted series and localizers of every CT; else each needed a person."""
    knowing_discs(tmp_path / "d", accepts={"plane": ["axial"]})
    for number, direction in enumerate(([1, 0, 0, 0, 0, -1], [0, 1, 0, 0, 0, -1], None)):
        fields = {"SeriesInstanceUID": f"1.2.3.4.1{number}", "ImageOrientationPatient": direction}
        file = written(tmp_path / f"9{number}.dcm", "CT", discs(1, 3)[:, 0], **fields)
        pacs.add(file.read_bytes())
    said = score(tmp_path, tmp_path, "--dicomweb", pacs.url, "--study", STUDY)
    assert "5 cases scored" in said.output  # also that which tells of no plane
    assert "passed over: coronal images (1), sagittal images (1)" in " ".join(said.output.split())


MISTAKES = [
    (["--study", STUDY], "are of a server; name it with --dicomweb"),
    (["--dicomweb", "URL"], "needs --study UID, or --query"),
    (["--dicomweb", "URL", "--study", "../1"], "expected a UID"),
    (["--dicomweb", "URL", "--study", "1.9"], "holds no study 1.9; look at --study"),
    (["--dicomweb", "URL", "--study", STUDY, "--series", "1.9"], "no series 1.9"),
    (["--dicomweb", "URL", "--query", "StudyDate=19000101"], "no study with StudyDate=1900"),
    (["--dicomweb", "URL", "--query", "StudyDat=1"], "did you mean StudyDate"),
    (["--dicomweb", "URL/x", "--query", "StudyDate=1"], "HTTP 404; it does not hold that"),
    (["--dicomweb", "http://127.0.0.1:9", "--query", "StudyDate=1"], "cannot be reached"),
    (["--dicomweb", "ftp://a", "--study", STUDY], "expected the URL of a DICOMweb service"),
    (["--dicomweb", "https://a:b@c", "--study", STUDY], "give it with --password-file"),
    (["x.dcm", "--dicomweb", "URL", "--study", STUDY], "leave out FILES"),
    (["--dicomweb", "URL", "--study", STUDY, "--store"], "give both, or none"),
    (
        ["--dicomweb", "http://pacs.example", "--study", STUDY, "--token-file", "TOKEN"],
        "http would send the secret as it is",
    ),
    (
        ["--dicomweb", "URL", "--study", STUDY, "--password-file", "TOKEN"],
        "its first line must be NAME:PASSWORD",
    ),
]


@pytest.mark.parametrize(("words", "said"), MISTAKES, ids=[said for _, said in MISTAKES])
def test_a_mistake_is_one_line_with_the_way_out(
    words: list[str], said: str, home: Path, pacs: Pacs, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("tok\n")
    named = {"URL": pacs.url, "TOKEN": str(tmp_path / "secret"), "URL/x": f"{pacs.url}/x"}
    done = score(home, tmp_path, *(named.get(word, word) for word in words), code=2)
    *notes, line = done.stderr.strip().splitlines()
    assert said in line
    assert line.startswith("error: ")
    assert all(note.startswith("note: ") for note in notes)
    assert not (tmp_path / "s.csv").exists()
    assert "tok" not in line.split()


def test_a_busy_server_that_wants_a_password_gets_it_from_a_file_or_says_so(
    pacs: Pacs, tmp_path: Path
) -> None:
    pacs.token, pacs.busy = "Basic bWU6c8OpY3JldDox", 1  # me:sécret:1
    (tmp_path / "password").write_text("me:sécret:1\n", encoding="utf-8")
    access = Access.of(pacs.url, password_file=tmp_path / "password")
    assert DicomWeb(access).studies({"PatientID": "77"}) == [STUDY]
    with pytest.raises(InputError, match=r"HTTP 401; give what it takes with --token-file"):
        DicomWeb(Access(pacs.url)).studies({"PatientID": "77"})


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[Access]:
    """Orthanc with its DICOMweb plugin, and nothing in it."""
    program, plugin = shutil.which("Orthanc"), PLUGIN / "libOrthancDicomWeb.so"
    if program is None or not plugin.exists():
        pytest.skip("no Orthanc with DICOMweb here: apt-get install orthanc orthanc-dicomweb")
    ports = []
    for _ in range(2):
        with socket.create_server(("127.0.0.1", 0)) as free:
            ports.append(free.getsockname()[1])
    about = {
        **dict.fromkeys(("StorageDirectory", "IndexDirectory"), str(tmp_path / "db")),
        **dict(zip(("HttpPort", "DicomPort"), ports, strict=True)),
        "AuthenticationEnabled": True,
        "RegisteredUsers": {"me": "secret"},
        "Plugins": [str(plugin)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    (tmp_path / "orthanc.json").write_text(json.dumps(about))
    (tmp_path / "password").write_text("me:secret\n")
    access = Access.of(
        f"http://127.0.0.1:{ports[0]}/dicom-web", password_file=tmp_path / "password"
    )
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen([program, tmp_path / "orthanc.json"], stdout=log, stderr=log)
    try:
        eventually(lambda: DicomWeb(access).studies({}) == [])
        yield access
    finally:
        process.terminate()
        process.wait()


def eventually(succeeds: Callable[[], bool]) -> None:
    """Wait until a server answers."""
    for _ in range(200):
        try:
            if succeeds():
                return
        except InputError:
            pass
        time.sleep(0.1)
    raise AssertionError("the server does not answer")


@pytest.mark.slow
def test_orthanc_gives_images_and_keeps_what_is_said_of_them(
    home: Path, orthanc: Access, tmp_path: Path
) -> None:
    server = DicomWeb(orthanc)
    files = sorted((home / "files").iterdir())
    assert server.store(STUDY, files) == {}
    words = ["--dicomweb", orthanc.url, "--query", "StudyDate=20200102"]
    words += ["--password-file", tmp_path / "password"]
    said = score(home, tmp_path, *words, "--dicom", tmp_path / "o", "--store")
    objects = list((tmp_path / "o").glob("*.dcm"))
    assert f"{len(objects)} of {len(objects)} objects" in said.output
    score(home, tmp_path, *files, "--out", tmp_path / "f.csv", "--cache", tmp_path / "c")
    of_server = ScoreTable.read(tmp_path / "s.csv").score
    assert sorted(of_server) == sorted(ScoreTable.read(tmp_path / "f.csv").score)
    made = {one.modality: one for one in server.series(STUDY) if "midclass" in one.description}
    assert set(made) >= {"SR", "SEG", "OT"}
    kept = [server.retrieve(image).content for image in server.images(made["SEG"])]
    assert set(kept) <= {file.read_bytes() for file in objects}
    again = score(home, tmp_path, *words, "--dicom", tmp_path / "o", "--store", "--overwrite")
    assert "already scored by this detector (4)" in again.output


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make a certificate")
def test_a_certificate_that_nobody_vouches_for_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, crt = tmp_path / "key.pem", tmp_path / "crt.pem"
    make = f"openssl req -x509 -newkey rsa:2048 -nodes -keyout {key} -out {crt} -days 2"
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*make.split(), *name], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(crt, key)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

        def serve() -> None:
            for _ in range(2):
                connection, _ = listening.accept()
                try:
                    with context.wrap_socket(connection, server_side=True) as safe:
                        safe.recv(4096)
                        safe.sendall(b"HTTP/1.1 204 No\r\nConnection: close\r\n\r\n")
                except OSError:
                    connection.close()

        threading.Thread(target=serve, daemon=True).start()
        client = DicomWeb(Access(f"https://localhost:{port}"))
        monkeypatch.setenv("NO_PROXY", "localhost")
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            monkeypatch.delenv(name, raising=False)
        with pytest.raises(InputError, match=r"not trusted.*REQUESTS_CA_BUNDLE"):
            client.studies({})
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(crt))
        assert DicomWeb(Access(f"https://localhost:{port}")).studies({}) == []


def test_without_the_extra_it_is_said_how_to_get_it(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "midclass.cli.dicomweb.server", None)
    monkeypatch.delitem(sys.modules, "midclass.cli.dicomweb.images", raising=False)
    done = score(home, tmp_path, "--dicomweb", "https://a", "--study", "1.2", code=2)
    assert "pip install 'midclass[dicomweb]'" in done.output


@dataclass
class Obedient:
    """A server that gives every image."""

    url: str = "http://nowhere"
    asked: list[str] = field(default_factory=list)

    def retrieve(self, image: RemoteImage) -> Any:
        self.asked.append(image.uid)
        return SimpleNamespace(content=b"x" * 10, ours=False)


@pytest.mark.parametrize(
    ("view", "most", "expected"),
    [
        ("whole", 10**6, [4, 4, 4, 4, 1]),
        ("slices", 10**6, [5, 9, 3]),  # a series goes on to its end, or for 9 images
        ("slices", 65, [5, 7, 5]),  # or for some bytes
        ("tiles", 10**6, [6, 4, 7]),  # a study, where the other side counts
    ],
)
def test_what_is_scored_together_is_held_together_unless_it_is_too_much(
    view: str, most: int, expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("HELD", 4), ("SERIES_HELD", 9), ("SERIES_BYTES", most)):
        monkeypatch.setattr(images, name, value)
    monkeypatch.setattr(images.ServerImages, "_images_in", lambda self, path: 1)
    there = images.ServerImages.__new__(images.ServerImages)
    there.server, there.passed, there._names = Obedient(), Counter(), {}  # type: ignore[assignment]
    series, studies = "aaabb" + 12 * "c", 6 * "1" + 4 * "2" + 7 * "3"
    there._listed = [
        RemoteImage(studies[k] if view == "tiles" else "1", series[k], f"1.{k}") for k in range(17)
    ]
    of_tiles = {"roi_mm": 32, "canvas_mm": [64, 64], "compare": "other_side"}
    about = {"view": view, "size": [32, 32], "spacing_mm": 1.0}
    known = recipe(geometry=about | (of_tiles if view == "tiles" else {}))
    sizes = []
    while sum(sizes) < 17:
        with ExitStack() as held:
            files, _, taken = there._retrieved(sum(sizes), held, known)
        assert len(files) == taken
        sizes.append(taken)
    assert sizes == expected
    assert there.server.asked == [one.uid for one in there._listed]  # type: ignore[attr-defined]
