"""The command line as a user meets it: results, refusals in one line, interruptions."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import PIL.Image
import pytest
from typer.testing import CliRunner, Result

import midclass
from makers import manifest_rows, phantom_folder, tiny_phantoms, write_manifest
from midclass import MiddleClassDetector, ScoreTable
from midclass.cli.app import app
from midclass.cli.commands.fit import tell_checkpoint, tell_known
from midclass.cli.options import DETECTORS
from midclass.cli.voice import answer, new_voice
from midclass.detectors.catalogue import detector_names
from midclass.detectors.image_scores import Combination
from midclass.detectors.known import KnownCases
from midclass.images import phantoms
from midclass.recipe.names import SHIPPED

RECIPE = tiny_phantoms()
FIT = ["fit", "{folder}/tiny.yaml", "--cohort", "{folder}/manifest.csv", "--max-fpr", "0.1"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Phantoms, a recipe that trains in a second, and a detector fitted with them."""
    folder = tmp_path_factory.mktemp("cli") / "phantoms"
    phantom_folder(folder, RECIPE, data=".")
    os.environ["MIDCLASS_CACHE"] = str(folder.parent / "cache")
    result = run([*FIT, "--out", "{folder}/detector", "--json"], folder)
    assert result.exit_code == 0, result.output
    (folder / "fit.json").write_text(result.stdout)
    return folder


@pytest.fixture(scope="module", autouse=True)
def _environment() -> Iterator[None]:
    before = os.environ.get("MIDCLASS_CACHE")
    yield
    os.environ.pop("MIDCLASS_CACHE", None)
    if before is not None:
        os.environ["MIDCLASS_CACHE"] = before


def run(arguments: list[str], folder: Path) -> Result:
    filled = [argument.replace("{folder}", str(folder)) for argument in arguments]
    return CliRunner().invoke(app, filled)


def test_help_and_version_need_no_heavy_library() -> None:
    code = """
import sys
from midclass.cli.app import app
for arguments in (["--help"], ["fit", "--help"], ["--version"]):
    try:
        app(arguments)
    except SystemExit as end:
        assert not end.code
loaded = {"torch", "sklearn", "matplotlib", "scipy", "PIL"} & set(sys.modules)
assert not loaded, loaded
"""
    began = time.monotonic()
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    for shown in ("--max-fpr", "[default: 0.05]", "patchcore", "tell|drop|refuse", "runs/RECIPE"):
        assert shown in result.stdout
    assert f"midclass {midclass.__version__}" in result.stdout
    assert time.monotonic() - began < 5  # 0.2 s on an idle machine


def test_fit_tells_what_it_did_and_what_comes_next(folder: Path) -> None:
    result = run([*FIT, "--out", "{folder}/told"], folder)
    assert result.exit_code == 0, result.output
    for expected in (
        "learned from     42 cases of 21 patients",
        "calibrated with  12 cases of 6 patients",
        "checkpoint       step 8 of 8: no better than chance on middle classes of held-out",
        "at most 10.0% false alarms",
        f"saved            {folder}/told",
        f"midclass evaluate {folder}/told --cohort {folder}/manifest.csv",
    ):
        assert expected in result.stdout
    assert {path.name for path in (folder / "told").iterdir()} == {
        "MODEL_CARD.md",
        "detector.json",
        "weights.safetensors",
        "cohort.json",
        "midclass.json",
    }
    assert not (folder / "told.part").exists()


def test_known_cases_are_learned_from_and_told(folder: Path) -> None:
    lines = (folder / "manifest.csv").read_text().splitlines()
    head = lines[0].split(",")
    ill = [n for n, line in enumerate(lines) if line.split(",")[head.index("label")] == "1"][:4]
    for row in ill:
        lines[row] = lines[row].replace("test", "train")
    (folder / "known.csv").write_text("\n".join(lines) + "\n")
    known = ["fit", FIT[1], "--cohort", "{folder}/known.csv", *FIT[4:], "--out", "{folder}/known"]
    result = run([*known, "--detector", "linear_probe", "--positives", "3"], folder)
    assert result.exit_code == 0, result.output
    assert "known cases      3 cases of 2 patients" in result.stdout
    card = (folder / "known" / "MODEL_CARD.md").read_text()
    assert "3 images of the target class were used" in card
    result = run([*known, "--positives", "3", "--overwrite"], folder)
    assert result.exit_code == 0, result.output
    assert "known by         " in result.stdout
    result = run([*known, "--detector", "linear_probe", "--overwrite"], folder)
    assert result.exit_code == 2
    assert "LinearProbe needs some cases of the target class" in result.stderr


def test_what_has_learned_the_known_cases_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    detector, said = MiddleClassDetector("phantoms"), list[str]()
    names = ("known", "known_by_network")
    units = Combination(names, (0, 0), (1, 1), names)
    for known in (None, KnownCases(units, 0.1)):
        detector.known_ = known
        tell_known(detector)
        said.append(capsys.readouterr().out)
    assert "nothing that tells them from held-out normal images" in said[0]
    assert "a linear probe and the own network, a witness of their own" in said[1]


def test_an_auroc_is_said_where_something_was_chosen_by_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = []
    for best in (0.55, 0.551):
        history = {
            "step": [4, 8],
            "validation": [0.5, best],
            "best": 1,
            "scores": {"log_odds": best},
            "undescribed": 0.512,
        }
        tell_checkpoint(SimpleNamespace(history_=history))
        said.append(capsys.readouterr().out)
    assert "last checkpoint and all scores kept" in said[0]
    assert "AUROC" not in said[0]
    assert (
        "step 8 of 8, chosen without labels: AUROC 0.551 on middle classes of held-out patients"
        in said[1]
    )
    assert "scores alone     log odds 0.551" in said[1]


@pytest.mark.slow
def test_a_fit_in_folds_says_what_is_promised(folder: Path) -> None:
    """60 cases hold out 12, which cannot promise 5 %."""
    result = run([*FIT[:-1], "0.05", "--out", "{folder}/folds"], folder)
    assert result.exit_code == 0, result.output
    for expected in (
        "learned from     60 cases of 30 patients",
        "calibrated with  60 of these, each in that of 5 folds which did not learn from it",
        "at most 5.0% false alarms",
        "independent ones",
        "highest of these images/",
    ):
        assert expected in result.stdout
    assert "proven " not in result.stdout  # each patient has two
    assert result.stdout.count("checkpoint       step") == 5
    refused = run([*FIT[:-1], "0.05", "--folds", "0", "--out", "{folder}/none"], folder)
    assert refused.exit_code == 2
    assert "cannot be promised with 12 calibration cases" in refused.stderr


def test_a_fit_in_folds_says_what_is_proven_where_each_patient_has_one_case(folder: Path) -> None:
    rows = manifest_rows(folder / "manifest.csv")
    alone = folder / "alone.csv"
    write_manifest(alone, [row | {"patient_id": row["path"]} for row in rows])
    fit = [word.replace("manifest.csv", "alone.csv") for word in FIT[:-1]]
    result = run([*fit, "0.05", "--detector", "pca", "--out", "{folder}/folds_alone"], folder)
    assert result.exit_code == 0, result.output
    assert "proven           at most 21.7% on average" in result.stdout
    found = ["{folder}/folds_alone", "--cohort", "{folder}/alone.csv"]
    measured = run(["evaluate", *found, "--out", "{folder}/fold_figures"], folder)
    assert measured.exit_code == 0, measured.output
    assert re.search(r"false-alarm rate, proven +. 0\.217", measured.stdout)


def test_evaluate_writes_a_table_from_which_everything_follows(folder: Path) -> None:
    result = run(
        [
            "evaluate",
            "{folder}/detector",
            "--cohort",
            "{folder}/manifest.csv",
            "--out",
            "{folder}/e",
        ],
        folder,
    )
    assert result.exit_code == 0, result.output
    assert re.search(r"false-alarm rate, promised +0\.100", result.stdout)
    assert "AUROC of mass" in result.stdout
    assert "AUROC per patient" in result.stdout
    table = ScoreTable.read(folder / "e" / "scores.csv")
    summary = json.loads((folder / "e" / "summary.json").read_text())
    assert len(table) == 24
    assert summary["cases"] == {"given": 12, "target": 12, "unknown": 0}
    rows = list(csv.DictReader((folder / "e" / "scores.csv").open()))
    assert [row["flagged"] for row in rows] == [str(int(one)) for one in table.flagged]
    assert np.array_equal(table.flagged, table.extra["p_value"] <= 0.1)
    for picture in ("roc.png", "heat_maps.png"):
        with PIL.Image.open(folder / "e" / picture) as image:
            assert image.width > 300


def test_score_goes_on_where_a_file_cannot_be_read(folder: Path, tmp_path: Path) -> None:
    for i in range(2):
        shutil.copy(folder / "images" / f"target_0000{i}.png", tmp_path)
    (tmp_path / "broken.png").write_text("no image")
    out = ["--out", f"{tmp_path}/s.csv", "--heat-maps", f"{tmp_path}/maps"]
    result = run(["score", "{folder}/detector", str(tmp_path), *out], folder)
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "broken.png" in result.stderr
    table = ScoreTable.read(tmp_path / "s.csv")
    assert table.case_id.tolist()[0] == "broken.png"
    assert table.assessed.tolist() == [False, True, True]
    assert table.review.tolist()[0]
    assert table.reason[0].startswith("cannot be used: its content is none of PNG")
    assert len(list((tmp_path / "maps").glob("*.png"))) == 2
    again = run(["score", "{folder}/detector", str(tmp_path), *out], folder)
    assert again.exit_code == 2
    assert "is there already" in again.stderr


def test_a_fit_says_as_json_what_it_says_in_words(folder: Path) -> None:
    said = json.loads((folder / "fit.json").read_text())
    saved = json.loads((folder / "detector" / "detector.json").read_text())
    assert (said["command"], said["exit_code"]) == ("fit", 0)
    assert (said["cases"]["train"], said["patients"]["calibrate"]) == (42, 6)
    assert (said["recipe"], said["threshold"]) == ("tiny", saved["threshold"])
    assert said["promised"]["max_fpr"] == 0.1
    assert said["files"] == {"detector": str(folder / "detector")}


def test_score_as_json_and_quietly_says_what_failed_and_nothing_else(
    folder: Path, tmp_path: Path
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    shutil.copy(folder / "images" / "target_00000.png", images)
    (images / "broken.png").write_text("no image")
    score = ["score", "{folder}/detector", str(images)]
    told = run([*score, "--out", f"{tmp_path}/a.csv", "--json"], folder)
    assert told.exit_code == 1
    said = json.loads(told.stdout)
    assert (said["command"], said["exit_code"], said["cases"]) == ("score", 1, 2)
    assert said["not_assessed"] == sum(said["reasons"].values()) == 1
    assert said["flagged"] == int(ScoreTable.read(tmp_path / "a.csv").flagged.sum())
    assert said["files"] == {"scores": f"{tmp_path}/a.csv"}
    assert "1 cases scored" in told.stderr
    assert "failed: broken.png" in told.stderr
    quiet = run([*score, "--out", f"{tmp_path}/b.csv", "--quiet"], folder)
    assert (quiet.exit_code, quiet.stdout) == (1, "")
    assert re.fullmatch("failed: broken.png: .*\n", quiet.stderr)
    assert (tmp_path / "b.csv").read_bytes() == (tmp_path / "a.csv").read_bytes()
    refused = run([*score, "--out", f"{tmp_path}/a.csv", "--json", "--quiet"], folder)
    said = json.loads(refused.stdout)
    assert said == {"command": "score", "exit_code": 2, "error": said["error"]}
    assert refused.stderr == f"error: {said['error']}\n"
    assert "is there already" in said["error"]
    # The next command in this process speaks in words again.
    assert "recipe" in run(["recipes"], folder).stdout.split()


def test_a_recipe_to_begin_with_is_printed_as_its_file(tmp_path: Path) -> None:
    for name in ("blank", "chest_ct"):
        printed = run(["recipes", name], tmp_path)
        assert printed.stdout == (SHIPPED / f"{name}.yaml").read_text(encoding="utf-8")
    refused = run(["recipes", "blnk"], tmp_path)
    assert refused.exit_code == 2
    assert "did you mean 'blank'?" in refused.stderr


def test_json_holds_no_number_that_json_has_not(capsys: pytest.CaptureFixture[str]) -> None:
    with new_voice() as voice:
        voice.json = True
        answer({"a": Path("x"), "b": None}, nan=np.float32("nan"), far=[float("inf"), 2], n={1: 3})
        voice.end(0)
    said = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert said["nan"] is None
    assert (said["far"], said["n"], said["files"]) == ([None, 2], {"1": 3}, {"a": "x"})


@pytest.mark.parametrize(
    ("begun", "offered"),
    [
        ("midclass fit head", {"head_ct", "head_ct_control"}),
        ("midclass fit head_ct --detector pa", {"padim", "patchcore"}),
        ("midclass sc", {"score"}),
    ],
)
def test_a_shell_completes_commands_recipes_and_detectors(begun: str, offered: set[str]) -> None:
    words = begun.split()
    asked = {
        "_MIDCLASS_COMPLETE": "complete_bash",
        "COMP_WORDS": begun,
        "COMP_CWORD": str(len(words) - 1),
    }
    result = CliRunner().invoke(app, prog_name="midclass", env=asked)
    assert set(result.stdout.split()) == offered


def test_the_detectors_in_help_are_those_that_there_are() -> None:
    assert list(DETECTORS) == list(detector_names())


@pytest.mark.slow
def test_target_class_images_are_neither_read_nor_shown_before_evaluation(
    folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder / "images", tmp_path / "images")
    for image in (tmp_path / "images").glob("target_*"):
        image.write_text("reading this fails")
    text = (folder / "manifest.csv").read_text()
    (tmp_path / "all.csv").write_text(re.sub(",(train|test),", ",,", text))
    show = ["show", "{folder}/tiny.yaml", "--cohort", f"{tmp_path}/all.csv"]
    shown = run([*show, "--out", f"{tmp_path}/s.png"], folder)
    assert shown.exit_code == 0, shown.output
    assert (tmp_path / "s.png").exists()
    fit = ["fit", "{folder}/tiny.yaml", "--cohort", f"{tmp_path}/all.csv", "--max-fpr", "0.1"]
    fitted = run([*fit, "--out", f"{tmp_path}/d"], folder)
    assert fitted.exit_code == 0, fitted.output
    assert "12 target-class cases of" in fitted.stderr
    assert "set aside" in fitted.stderr


def test_show_needs_no_cohort_and_replaces_nothing_unasked(folder: Path, tmp_path: Path) -> None:
    show = ["show", "{folder}/tiny.yaml", "--n", "2", "--out", f"{tmp_path}/s.png"]
    result = run(show, folder)
    assert result.exit_code == 0, result.output
    drawn = (tmp_path / "s.png").read_bytes()
    again = run(show, folder)
    assert again.exit_code == 2
    assert "s.png: is there already; give another --out, or --overwrite" in again.stderr
    assert (tmp_path / "s.png").read_bytes() == drawn
    (tmp_path / "a.json").write_text('{"recipe": "tiny", "classes": {}, "advice": []}')
    audit = run(["audit", "{folder}/tiny.yaml", "--out", f"{tmp_path}/a.json"], folder)
    assert audit.exit_code == 2
    assert "a.json: is there already; give another --out, or --overwrite" in audit.stderr


@pytest.mark.slow
def test_an_interrupted_fit_goes_on_and_ends_with_the_same_scores(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit = [*FIT, "--out", "{folder}/broken"]
    with monkeypatch.context() as patch:
        # Checkpoints are at 6 and 8.
        patch.setattr("midclass.cli.commands.fit.bar", _interrupting(at=7))
        stopped = run(fit, folder)
    assert stopped.exit_code == 130
    assert stopped.stderr.count("\n") == 1
    assert "the same command goes on from the last checkpoint" in stopped.stderr
    assert not (folder / "broken").exists()
    other = run([*fit, "--seed", "1"], folder)
    assert other.exit_code == 2
    assert "an interrupted fit with another seed" in other.stderr
    steps: list[int] = []
    with monkeypatch.context() as patch:
        patch.setattr("midclass.cli.commands.fit.bar", _interrupting(at=-1, seen=steps))
        resumed = run(fit, folder)
    assert resumed.exit_code == 0, resumed.output
    assert "goes on from the last checkpoint" in resumed.stderr
    assert steps[0] == 7
    assert not (folder / "broken.part").exists()
    for name in ("broken", "detector"):
        scored = ["score", "{folder}/" + name, "--cohort", "{folder}/manifest.csv"]
        assert run([*scored, "--out", "{folder}/" + f"{name}.csv"], folder).exit_code == 0
    assert (folder / "broken.csv").read_bytes() == (folder / "detector.csv").read_bytes()


def test_an_interrupted_fit_goes_on_in_a_copied_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("midclass.cli.commands.fit.bar", _interrupting(at=7))
        assert run([*FIT, "--out", "{folder}/moved"], folder).exit_code == 130
    shutil.copytree(folder, tmp_path / "elsewhere", copy_function=shutil.copyfile)
    (folder / "moved.part").rename(tmp_path / "away")
    resumed = run([*FIT, "--out", "{folder}/moved"], tmp_path / "elsewhere")
    assert resumed.exit_code == 0, resumed.output
    assert "goes on from the last checkpoint" in resumed.stderr
    saved = tmp_path / "elsewhere" / "moved" / "cohort.json"
    assert saved.read_bytes() == (folder / "detector" / "cohort.json").read_bytes()


def test_a_fit_interrupted_before_any_checkpoint_leaves_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midclass.cli.commands.fit.bar", _interrupting(at=2))
    result = run([*FIT, "--out", "{folder}/early"], folder)
    assert result.exit_code == 130
    assert "starts anew" in result.stderr
    assert not list(folder.glob("early*"))


def _interrupting(at: int, seen: list[int] | None = None) -> Callable[[str], Any]:
    @contextmanager
    def bar(what: str) -> Iterator[Callable[[int, int, str], None]]:
        def progress(done: int, total: int, text: str) -> None:
            if what.startswith("fitting"):
                if seen is not None:
                    seen.append(done)
                if done == at:
                    raise KeyboardInterrupt

        yield progress

    return bar


# Bad input: prepares files in a folder with the phantoms; returns what to add to `fit`, and what
# the one line must name.
Bad = Callable[[Path], tuple[list[str], str]]


def _changed(folder: Path, row: int = 0, **fields: str) -> tuple[list[str], str]:
    rows = manifest_rows(folder / "manifest.csv")
    rows[row].update(fields)
    write_manifest(folder / "manifest.csv", rows)
    return [], f"row {row + 2}"


def missing_manifest(folder: Path) -> tuple[list[str], str]:
    (folder / "manifest.csv").unlink()
    return [], "manifest.csv: no such file"


def truncated_dicom(folder: Path) -> tuple[list[str], str]:
    (folder / "cut.dcm").write_bytes(bytes(128) + b"DICM" + b"\x02\x00\x00\x00UL\x04\x00\xbe")
    _changed(folder, path="cut.dcm")
    return [], "cut.dcm"


def text_named_png(folder: Path) -> tuple[list[str], str]:
    (folder / "images" / "given_00000.png").write_text("hello")
    (folder / "images" / "train_00003.png").write_text("hello")
    return [], "train_00003.png"


def empty_manifest(folder: Path) -> tuple[list[str], str]:
    (folder / "manifest.csv").write_text("")
    return [], "manifest.csv: is empty"


def unknown_column(folder: Path) -> tuple[list[str], str]:
    return ["--split", "repeat_7"], "no column 'repeat_7'"


def unknown_part(folder: Path) -> tuple[list[str], str]:
    return ["--part", "trian"], "the parts are: test, train"


def label_2(folder: Path) -> tuple[list[str], str]:
    return _changed(folder, 3, label="2")


def patient_on_both_sides(folder: Path) -> tuple[list[str], str]:
    _changed(folder, 1, split="test")
    return [], "patient breast-train-00000"


def no_given_class(folder: Path) -> tuple[list[str], str]:
    write_manifest(
        folder / "manifest.csv",
        [row | {"label": "1"} for row in manifest_rows(folder / "manifest.csv")],
    )
    return [], "no case of the given class"


def no_label(folder: Path) -> tuple[list[str], str]:
    return _changed(folder, 4, label="")


def all_zero(folder: Path) -> tuple[list[str], str]:
    PIL.Image.new("L", (48, 48)).save(folder / "images" / "train_00005.png")
    return [], "train_00005.png"


def not_a_number(folder: Path) -> tuple[list[str], str]:
    pixels = phantoms.make("breast", 1, 0, size=48)[0]
    pixels[20, 20] = np.nan
    PIL.Image.fromarray(pixels).save(folder / "nan.tiff")
    _changed(folder, path="nan.tiff")
    return [], "nan.tiff"


def wrong_channels(folder: Path) -> tuple[list[str], str]:
    text = RECIPE.replace("size:", "channels: 3, size:")
    (folder / "tiny.yaml").write_text(text)
    return [], "channel"


def misspelt_argument(folder: Path) -> tuple[list[str], str]:
    more = "middle_classes: {mass: {operator: focal.Focal, diamter_mm: [8, 30]}}\n"
    (folder / "tiny.yaml").write_text(RECIPE + more)
    return [], "tiny.yaml: middle_classes.mass: no argument 'diamter_mm'"


def misspelt_field(folder: Path) -> tuple[list[str], str]:
    (folder / "tiny.yaml").write_text(RECIPE + "shams: 0.1\n")
    return [], "shams"


def untrusted_file(folder: Path) -> tuple[list[str], str]:
    (folder / "mine.py").write_text("raise SystemExit('ran')")
    more = "middle_classes: {mine: {operator: 'mine.py:Mine'}}\n"
    (folder / "tiny.yaml").write_text(RECIPE + more)
    return [], "--trust"


def path_outside(folder: Path) -> tuple[list[str], str]:
    return _changed(folder, 2, path="../elsewhere.png")


def missing_file(folder: Path) -> tuple[list[str], str]:
    return _changed(folder, 2, path="images/nowhere.png")


def too_strict_a_promise(folder: Path) -> tuple[list[str], str]:
    return ["--max-fpr", "0.001"], "max_fpr 0.001 cannot be promised"


def unknown_detector(folder: Path) -> tuple[list[str], str]:
    return ["--detector", "midle_class"], "did you mean"


BAD: tuple[Bad, ...] = (
    missing_manifest,
    truncated_dicom,
    text_named_png,
    empty_manifest,
    unknown_column,
    unknown_part,
    label_2,
    patient_on_both_sides,
    no_given_class,
    no_label,
    all_zero,
    not_a_number,
    wrong_channels,
    misspelt_argument,
    misspelt_field,
    untrusted_file,
    path_outside,
    missing_file,
    too_strict_a_promise,
    unknown_detector,
)


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.__name__)
def test_bad_input_is_one_line_that_names_it(bad: Bad, folder: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(folder / "images", mine / "images")
    for name in ("manifest.csv", "tiny.yaml"):
        shutil.copy(folder / name, mine)
    more, named = bad(mine)
    result = run([*FIT, "--out", "{folder}/new/detector", *more], mine)
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert named in result.stderr
    assert not (mine / "new").exists()


def test_results_are_not_replaced_unasked(folder: Path) -> None:
    before = (folder / "detector" / "detector.json").stat().st_mtime_ns
    result = run([*FIT, "--out", "{folder}/detector"], folder)
    assert result.exit_code == 2
    assert "--overwrite" in result.stderr
    assert (folder / "detector" / "detector.json").stat().st_mtime_ns == before


def test_evaluating_on_a_patient_of_the_fit_is_refused(folder: Path) -> None:
    rows = [
        row | {"split": ""}
        for row in manifest_rows(folder / "manifest.csv")
        if row["path"].endswith("00003.png")
    ]
    write_manifest(folder / "seen.csv", rows)
    result = run(["evaluate", "{folder}/detector", "--cohort", "{folder}/seen.csv"], folder)
    assert result.exit_code == 2
    assert "patient breast-train-00001" in result.stderr
    assert not (folder / "detector" / "evaluation").exists()


@pytest.mark.slow
def test_the_module_runs_as_a_program(folder: Path) -> None:
    command = [sys.executable, "-m", "midclass", "evaluate", "nowhere", "--cohort", "no.csv"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    assert result.returncode == 2
    assert result.stderr.startswith("error: nowhere: no saved detector here")
    assert result.stderr.count("\n") == 1
