"""What is sent, or laid into a folder, has the score that it has in `midclass score`."""

from __future__ import annotations

import csv
import os
import signal
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

import makers
from dicom_folders import image_file
from midclass import Cohort, InputError, prepare_array
from midclass.cli.commands import score as score_command
from midclass.cli.commands import serve
from midclass.cli.commands.serve import Serving
from midclass.cli.options import Options
from midclass.cli.service.inbox import COLUMNS, Inbox, no_inbox
from midclass.cli.service.scorer import Arrived, Scorer
from midclass.cli.service.worker import Worker
from midclass.detectors.baselines.pca import PCA
from midclass.evaluation.table import ScoreTable
from midclass.images.private import unwritten

pytest.importorskip("fastapi", reason="extra [serve]")
testclient = pytest.importorskip("fastapi.testclient", reason="needs httpx")
from midclass.cli.service.web import Terms, service  # noqa: E402


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector ``det`` and images of discs in ``images``, of which the last is noise."""
    folder = tmp_path_factory.mktemp("home")
    recipe = makers.trained_recipe()
    given = prepare_array(makers.discs(40, 0), recipe)
    cases = tuple(replace(case, label=0) for case in given.cases)
    PCA(recipe).fit(replace(given, cases=Cohort(cases)), max_fpr=0.2).save(folder / "det")
    (folder / "images").mkdir()
    discs = [
        *makers.discs(3, 1),
        *makers.discs(2, 2, square=0.4),
        np.random.default_rng(0).random((1, 32, 32)),
    ]
    for number, disc in enumerate(discs):
        Image.fromarray((disc[0] * 255).astype(np.uint8)).save(folder / f"images/{number}.png")
    return folder


@pytest.fixture(scope="module")
def scorer(home: Path) -> Scorer:
    return Scorer(home / "det")


@pytest.fixture
def worker(scorer: Scorer) -> Iterator[Worker]:
    one = Worker(scorer, waiting=8)
    yield one
    one.end()


@pytest.fixture
def client(scorer: Scorer, worker: Worker) -> testclient.TestClient:
    return client_of(scorer, worker)


def client_of(scorer: Scorer, worker: Worker, **terms: object) -> testclient.TestClient:
    app = service(scorer, worker, Terms(**terms))  # type: ignore[arg-type]
    return testclient.TestClient(app, base_url="http://127.0.0.1:8000")


def images(home: Path) -> list[Path]:
    return sorted((home / "images").iterdir())


def scores_by_command(home: Path, out: Path) -> ScoreTable:
    options = Options(cache=out.parent / "cache")
    score_command.run(home / "det", Cohort.from_files(images(home)), options, out=out)
    return ScoreTable.read(out)


def test_a_file_that_is_sent_has_the_score_of_the_command_to_the_last_digit(
    home: Path, client: testclient.TestClient, tmp_path: Path
) -> None:
    table = scores_by_command(home, tmp_path / "scores.csv")

    def post(file: Path) -> dict[str, object]:
        answer = client.post("/score", content=file.read_bytes())
        assert answer.status_code == 200, answer.text
        return dict(answer.json()["cases"][0])

    with ThreadPoolExecutor(len(images(home))) as pool:  # some of them are scored together
        found = list(pool.map(post, images(home)))
    for row, said in enumerate(found):
        assessed = bool(table.assessed[row])
        assert said["assessed"] == assessed
        assert said["score"] == (float(table.score[row]) if assessed else None)
        assert said["p_value"] == (float(table.extra["p_value"][row]) if assessed else None)
        assert said["flagged"] == (bool(table.flagged[row]) if assessed else None)
        assert said["review"] == bool(table.review[row])
        assert said["reason"] == str(table.reason[row])
    assert {one["flagged"] for one in found} == {True, False, None}


def test_an_answer_says_which_detector_and_what_it_promises(
    home: Path, scorer: Scorer, client: testclient.TestClient
) -> None:
    answer = client.post("/score", content=images(home)[0].read_bytes()).json()
    assert answer["detector_id"] == scorer.detector_id
    assert answer["promise"]["max_fpr"] == 0.2
    assert "Research only" in answer["use"]
    about = client.get("/about").json()
    assert about["detector_id"] == scorer.detector_id
    assert about["given_class"] == "normal"
    assert client.get("/health").json() == {"status": "ok", "waiting": 0}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no file"),
        (b"hello", "none of PNG"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "file: "),
        (bytes(128) + b"DICM" + bytes(40), "file: "),
    ],
)
def test_bad_input_is_one_line_that_names_no_place(
    content: bytes, said: str, client: testclient.TestClient
) -> None:
    answer = client.post("/score", content=content)
    assert answer.status_code == 422
    line = answer.json()["detail"]
    assert said in line
    assert "\n" not in line
    assert "/proc" not in line
    assert tempfile.gettempdir() not in line


def test_a_bad_file_is_no_failure_of_those_beside_it(
    home: Path, scorer: Scorer, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"\x89PNG\r\n\x1a\nno")
    good = [Arrived(file.name, file) for file in images(home)]
    found = scorer.score([good[0], Arrived("bad.png", bad), good[3]])
    alone = [scorer.score([one])[0].table for one in (good[0], good[3])]
    assert found[1].table is None
    assert "bad.png" in found[1].failed["bad.png"]
    for one, other in zip((found[0].table, found[2].table), alone, strict=True):
        assert one is not None
        assert other is not None
        assert one.score.tolist() == other.score.tolist()


def test_frames_of_a_file_are_cases_and_one_patient(
    home: Path, client: testclient.TestClient, tmp_path: Path
) -> None:
    volume = np.stack([one[0] for one in makers.discs(4, 3, square=0.2)], 2)
    file = tmp_path / "volume.nii"
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), file)
    options = Options(cache=tmp_path / "cache")
    cohort = Cohort.from_files([file])
    score_command.run(home / "det", cohort, options, out=tmp_path / "scores.csv")
    table = ScoreTable.read(tmp_path / "scores.csv")
    patients = ScoreTable.read(tmp_path / "scores_patients.csv")
    answer = client.post("/score", content=file.read_bytes()).json()
    assert [one["case"] for one in answer["cases"]] == [f"file#{frame}" for frame in range(4)]
    assert [one["score"] for one in answer["cases"]] == table.score.tolist()
    assert answer["together"]["score"] == patients.score[0]
    assert answer["together"]["p_value"] is None  # one case of each patient calibrated
    assert np.isnan(patients.extra["p_value"]).all()


def test_a_file_too_large_is_refused_whether_its_length_is_told_or_not(
    home: Path, scorer: Scorer, worker: Worker
) -> None:
    client, content = client_of(scorer, worker, bytes=100), images(home)[0].read_bytes()
    assert client.post("/score", content=content).status_code == 413
    assert client.post("/score", content=iter([content])).status_code == 413
    assert client.post("/score", content=b"x" * 100).status_code == 422


def test_without_its_token_nothing_is_told_but_health(scorer: Scorer, worker: Worker) -> None:
    client = client_of(scorer, worker, token="a" * 20)
    right, wrong = ({"authorization": f"Bearer {one * 20}"} for one in "ab")
    for headers in ({}, wrong):
        assert client.get("/about", headers=headers).status_code == 401
        assert client.post("/score", content=b"x", headers=headers).status_code == 401
    assert client.get("/about", headers=right).status_code == 200
    assert client.post("/score", content=b"x", headers=right).status_code == 422
    assert client.get("/health").status_code == 200


def test_a_page_elsewhere_cannot_reach_the_service_under_its_own_name(
    client: testclient.TestClient,
) -> None:
    assert client.get("/about", headers={"host": "attacker.example"}).status_code == 400
    assert client.get("/about", headers={"host": "localhost:8000"}).status_code == 200


def test_more_than_there_is_room_for_is_told_to_come_again(
    home: Path, scorer: Scorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, began = threading.Event(), threading.Event()

    class Slow(Scorer):
        def __init__(self) -> None:
            self.__dict__ |= scorer.__dict__

        def score(self, files: list[Arrived]) -> list[object]:  # type: ignore[override]
            began.set()
            go.wait(20)
            return super().score(files)

    slow = Worker(Slow(), waiting=1)
    client, content = client_of(scorer, slow), images(home)[0].read_bytes()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(client.post, "/score", content=content)
        assert began.wait(20)
        full = client.post("/score", content=content)
        go.set()
        assert first.result().status_code == 200
    assert full.status_code == 503
    assert full.headers["retry-after"]
    assert client.post("/score", content=content).status_code == 200  # its place is free again
    slow.end()


def test_no_pixel_is_on_a_disk(
    home: Path, client: testclient.TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("MIDCLASS_CACHE", str(tmp_path / "cache"))
    for content in (images(home)[0].read_bytes(), b"\x89PNG\r\n\x1a\nno"):
        client.post("/score", content=content)
    assert list(tmp_path.iterdir()) == []


def test_without_files_in_memory_a_private_one_is_gone_also_after_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def use() -> None:
        with unwritten(b"abc") as path:
            assert path.read_bytes() == b"abc"
            assert path.parent.stat().st_mode & 0o077 == 0
            raise ValueError("no image")

    with pytest.raises(ValueError, match="no image"):
        use()
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def inbox(
    home: Path, scorer: Scorer, worker: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], Inbox]:
    """Makes an inbox of the folder ``in`` and the table ``out.csv``, as a service that begins."""
    monkeypatch.setattr("midclass.cli.service.inbox.SETTLED_S", -1.0)
    (tmp_path / "in").mkdir()
    return lambda: Inbox(tmp_path / "in", tmp_path / "out.csv", scorer, worker)


def laid(folder: Path, file: Path, name: str = "") -> Path:
    place = folder / "in" / (name or file.name)
    place.write_bytes(file.read_bytes())
    return place


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "out.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_what_arrives_is_scored_once_across_restarts(
    home: Path, inbox: Callable[[], Inbox], tmp_path: Path
) -> None:
    table = scores_by_command(home, tmp_path / "scores.csv")
    first, second = images(home)[0], images(home)[4]
    before = laid(tmp_path, first).stat()
    one = inbox()
    assert [one.look(), one.look(), one.look()] == [0, 1, 0]  # seen twice the same: whole
    laid(tmp_path, second)
    again = inbox()
    assert [again.look(), again.look()] == [0, 1]
    rows = rows_of(tmp_path)
    assert [row["file"] for row in rows] == [first.name, second.name]
    assert [float(row["score"]) for row in rows] == [table.score[0], table.score[4]]
    assert [row["flagged"] for row in rows] == ["0", "1"]
    assert (tmp_path / "in" / first.name).stat() == before  # nothing of the user's was touched
    assert len(ScoreTable.read(tmp_path / "out.csv")) == 2


def test_what_cannot_be_read_has_its_line_and_what_is_no_image_has_none(
    inbox: Callable[[], Inbox], tmp_path: Path
) -> None:
    (tmp_path / "in" / "=bad.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    (tmp_path / "in" / ".hidden.png").write_bytes(b"x")
    (tmp_path / "in" / "half.png.part").write_bytes(b"x")
    one = inbox()
    assert [one.look(), one.look()] == [0, 1]
    (row,) = rows_of(tmp_path)
    assert row["file"] == "'=bad.png"
    assert row["assessed"] == "0"
    assert row["review"] == "1"
    assert row["reason"].startswith("failed: ")
    assert str(tmp_path) not in row["reason"]
    again = inbox()
    assert [again.look(), again.look()] == [0, 0]


def test_a_file_that_was_replaced_is_another_case(
    home: Path, inbox: Callable[[], Inbox], tmp_path: Path
) -> None:
    place, one = laid(tmp_path, images(home)[0], "a.png"), inbox()
    assert [one.look(), one.look()] == [0, 1]
    laid(tmp_path, images(home)[4], "a.png")
    os.utime(place, (1, 1))
    again = inbox()
    assert [again.look(), again.look()] == [0, 1]
    assert [row["case_id"] for row in rows_of(tmp_path)] == ["a.png", "a.png@1000000000"]


def test_lines_of_a_service_that_was_killed_are_cut_off_and_scored_again(
    home: Path, inbox: Callable[[], Inbox], tmp_path: Path
) -> None:
    for file in images(home)[:2]:
        laid(tmp_path, file)
    one, table = inbox(), tmp_path / "out.csv"
    one.look()
    assert one.look() == 2
    whole = table.read_bytes()
    for left in (whole[:-1], whole[:-20], whole[: whole.index(b"\n0.png") + 4]):
        table.write_bytes(left)
        again = inbox()
        again.look()
        assert again.look() in (1, 2)
        assert timeless(table.read_bytes()) == timeless(whole)


def timeless(table: bytes) -> list[list[bytes]]:
    """The cells without the time of scoring, in any order of rows."""
    when = COLUMNS.index("scored_at")
    rows = [line.split(b",") for line in table.splitlines()]
    return sorted([*row[:when], *row[when + 1 :]] for row in rows)


def test_a_table_of_another_detector_or_of_the_users_is_left_alone(
    home: Path, inbox: Callable[[], Inbox], tmp_path: Path
) -> None:
    laid(tmp_path, images(home)[0])
    one, table = inbox(), tmp_path / "out.csv"
    one.look()
    one.look()
    text = table.read_text().replace(one._scorer.detector_id, "0" * 64)
    table.write_text(text)
    with pytest.raises(InputError, match="another detector"):
        inbox()
    assert table.read_text() == text
    assert no_inbox(table) == ""
    mine = tmp_path / "mine.csv"
    mine.write_text("a,b\n1,2\n")
    assert "no table of a watched folder" in no_inbox(mine)
    with pytest.raises(InputError, match="no table of a watched folder"):
        serve.run(home / "det", Serving(port=0, watch=tmp_path / "in", out=mine))


def test_what_cannot_be_served_is_said_before_the_detector_is_read(tmp_path: Path) -> None:
    short, folder = tmp_path / "token", tmp_path / "in"
    short.write_text("secret\n")
    folder.mkdir()
    for serving, said in (
        (Serving(host="0.0.0.0"), "give --token-file"),
        (Serving(host="0.0.0.0", token_file=short), "a token of 16 letters"),
        (Serving(token_file=tmp_path / "none"), "No such file"),
        (Serving(watch=folder), "go together"),
        (Serving(watch=tmp_path / "other", out=tmp_path / "a.csv"), "no such folder"),
        (Serving(watch=folder, out=folder / "a.csv"), "lies in the folder that is watched"),
        (Serving(host="192.0.2.1.no", token_file=None), "give --token-file"),
    ):
        with pytest.raises(InputError, match=said):
            serve.run(tmp_path / "no detector", serving)


@pytest.mark.slow
def test_a_service_as_typed_answers_watches_and_ends_when_asked(home: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    laid(tmp_path, images(home)[3])
    command = "serve det --port 0 --watch in --out out.csv --every 0.2".replace(
        "det", str(home / "det")
    )
    with makers.listening(command.split(), tmp_path) as (process, address):
        content = images(home)[4].read_bytes()
        with urllib.request.urlopen(f"{address}/score", content, timeout=60) as answer:
            assert b'"flagged":true' in answer.read()
        with pytest.raises(urllib.error.HTTPError, match="422"):
            urllib.request.urlopen(f"{address}/score", b"no image", timeout=60)
        end = time.monotonic() + 60
        while len((tmp_path / "out.csv").read_text().splitlines()) < 2:
            assert time.monotonic() < end
            time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        _, noted = process.communicate(timeout=60)
    assert process.returncode == 0, noted
    assert "Traceback" not in noted
    assert sorted(one.name for one in tmp_path.iterdir()) == ["in", "out.csv"]


def test_the_service_mirrors_by_the_side_in_the_header(tmp_path: Path) -> None:
    mine = makers.recipe(geometry={"size": [32, 32], "orient": "laterality", "spacing_mm": 1})
    PCA(mine).fit(prepare_array(makers.discs(60, 0), mine, label=0), max_fpr=0.2).save(
        tmp_path / "d"
    )
    pixels = (makers.discs(1, 1)[0, 0] * 3000).astype(np.uint16)
    pixels[12:15, 8:11] += 300  # so that sides differ
    scores = []
    for side, shown in (("L", pixels), ("R", pixels[:, ::-1]), ("R", pixels)):
        file = tmp_path / f"{len(scores)}.dcm"
        image_file(file, pixels=np.ascontiguousarray(shown), ImageLaterality=side)
        (served,) = Scorer(tmp_path / "d").score([Arrived(file.name, file)])
        assert not served.failed
        scores.append(Scorer(tmp_path / "d").answer(served)["cases"][0]["score"])
    assert scores[0] == scores[1] != scores[2]
