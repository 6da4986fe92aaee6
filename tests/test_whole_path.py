"""The whole path of docs/folders.md as typed: DICOM folders to page, SR, SEG, service and back."""

from __future__ import annotations

import json
import re
import shutil
import signal
import urllib.request
from collections import Counter
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.uid import ComputedRadiographyImageStorage
from typer.testing import CliRunner, Result

from conftest import SHARED_DATA
from dicom_folders import BORN, NAME, image_file
from makers import listening, tiny_phantoms
from midclass import Cohort, ScoreTable, load_detector, prepare
from midclass.cli.app import app
from midclass.evaluation import plots
from midclass.evaluation.panel import Panel
from midclass.images import phantoms

pytest.importorskip("highdicom", reason="extra [seg]")
pytest.importorskip("fastapi", reason="extra [serve]")

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "folders.md"
SIDE = 48
REAL = ("CT_small.dcm",)
"""Of reader_tests/dicom/pydicom: other organs."""


def as_documented() -> dict[str, list[str]]:
    """The words of each command of the block, by the command."""
    text = DOCUMENT.read_text(encoding="utf-8").partition("## The whole path")[2]
    (block,) = re.findall(r"```\n(.*?)```", text.partition("\n## ")[0], re.DOTALL)
    lines = [line.replace("chest_xray", "tiny.yaml").split() for line in block.splitlines()]
    assert {words[0] for words in lines} == {"midclass"}
    return {words[1]: words[1:] for words in lines}


def radiographs(
    folder: Path, n: int, seed: int, *, target: bool = False, marked: bool = False
) -> None:
    """Phantoms as computed radiographs, each a patient, in folders as an archive exports them."""
    images = phantoms.make("breast", n, seed, size=SIDE, target=target)
    if marked:  # inside the breast, as nothing that was learned
        images[:, 20:28, 8:16], images[:, 22:26, 10:14] = 0, 1
    for number, image in enumerate(images):
        patient = seed * 1000 + number
        image_file(
            folder / f"ST{number:03d}" / "IM0001",
            patient,
            (image * 4095).astype(np.uint16),
            SOPClassUID=ComputedRadiographyImageStorage,
            PixelSpacing=None,
            ImagerPixelSpacing=[200 / SIDE] * 2,
            AcquisitionDate="20261125",
            ManufacturerModelName="Phantom 1",
            StudyDate="20261125",
            StudyTime="101500",
        )


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of normals, one of labelled cases, one of what arrives, and a recipe."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIDCLASS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    (tmp_path / "tiny.yaml").write_text(tiny_phantoms())
    radiographs(tmp_path / "normals", 45, 1)
    radiographs(tmp_path / "pacs" / "normal", 6, 2)
    radiographs(tmp_path / "pacs" / "mass", 4, 3, target=True)
    radiographs(tmp_path / "inbox", 3, 4, marked=True)
    for name in REAL:
        if (file := SHARED_DATA / "reader_tests" / "dicom" / "pydicom" / name).exists():
            shutil.copyfile(file, tmp_path / "inbox" / name)
    return tmp_path


def run(words: list[str], code: int = 0) -> Result:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == code, result.output
    return result


@pytest.mark.slow
def test_folders_become_a_detector_a_page_dicom_and_a_service(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = as_documented()
    drawn: dict[str, list[Panel]] = {}
    monkeypatch.setattr(plots, "heat_maps", lambda *given: drawn.update(given[2]))

    made = json.loads(run([*typed["manifest"], "--json"]).stdout)
    assert made["cases"] == {"given": 6, "target": 4, "unknown": 0}
    assert made["parts"] == {"split": {"train": 1, "test": 9}}
    learned = json.loads(run([*typed["fit"], "--detector", "pca", "--json"]).stdout)
    assert sum(learned["patients"].values()) == 45

    cut = Cohort.from_manifest("pacs.csv").part("test").cases[0].path
    cut.write_bytes(cut.read_bytes()[:-100])
    said = json.loads(run([*typed["evaluate"], "--json"], code=1).stdout)
    assert said["reasons"] == {"cannot be used": 1}
    page = Path(said["files"]["page"]).read_text(encoding="utf-8")
    assert "AUROC" in page
    assert "Phantom 1" not in page
    _pictures_are_of_their_cases(Cohort.from_manifest("pacs.csv").part("test"), drawn)

    files = sorted(str(one) for one in Path("inbox").rglob("*") if one.is_file())
    told = CliRunner().invoke(app, typed["score"])
    table = ScoreTable.read("scores.csv")
    assert table.case_id.tolist() == files
    assert table.extra["week"].tolist()[-3:] == ["2026-W48"] * 3
    assert told.exit_code == (0 if table.assessed.all() else 1), told.output
    assert table.assessed[-3:].all()
    written = "".join(one.read_text() for one in Path().glob("scores*"))
    assert not [word for word in (NAME, BORN, "20261125", "2026-11-25", "PID0") if word in written]
    _dicom_is_of_the_studies([Path(one) for one in files], table)
    _service_says_the_same([*typed["serve"], "--port", "0"], files, table, place)


def _pictures_are_of_their_cases(cohort: Cohort, drawn: dict[str, list[Panel]]) -> None:
    """Although the first case has no picture: each panel shows the case that it names."""
    detector = load_detector("runs/chest")
    seen = Cohort(cohort.cases[1:])
    prepared = prepare(seen, detector.recipe, cache=Path("cache"))
    number = {case.case_id: row for row, case in enumerate(seen)}
    panels = [panel for group in drawn.values() for panel in group]
    assert panels
    for panel in panels:
        (row,) = [r for name, r in number.items() if name[-16:] in panel.text]
        assert np.array_equal(panel.pixels, prepared.images([row])[0] / 65535)


def _dicom_is_of_the_studies(files: list[Path], table: ScoreTable) -> None:
    written = [pydicom.dcmread(one) for one in Path("out").glob("*.dcm")]
    kinds = Counter(one.Modality for one in written)
    assert kinds["SR"] == len(files)
    assert kinds["SEG"] >= 1
    studies = {pydicom.dcmread(one).StudyInstanceUID for one in files}
    assert {one.StudyInstanceUID for one in written} == studies
    images = {pydicom.dcmread(one).SOPInstanceUID: one for one in files}
    for one in written:
        if one.Modality == "SEG":
            (source,) = one.ReferencedSeriesSequence[0].ReferencedInstanceSequence
            shown = pydicom.dcmread(images[source.ReferencedSOPInstanceUID])
            assert (one.Rows, one.Columns) == (shown.Rows, shown.Columns)


def _service_says_the_same(
    words: list[str], files: list[str], table: ScoreTable, place: Path
) -> None:
    with listening(words, place) as (process, address):
        for row, file in enumerate(files):
            content = Path(file).read_bytes()
            with urllib.request.urlopen(f"{address}/score", content, timeout=60) as answer:
                (case,) = json.loads(answer.read())["cases"]
            assessed = bool(table.assessed[row])
            assert case["assessed"] == assessed
            assert case["score"] == (float(table.score[row]) if assessed else None)
            assert case["flagged"] == (bool(table.flagged[row]) if assessed else None)
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    assert process.returncode == 0
