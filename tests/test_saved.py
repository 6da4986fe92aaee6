"""Laws of a saved detector: whole, it scores as before; damaged or a stranger's, one line."""

from __future__ import annotations

import copy
import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from makers import discs, trained_recipe
from midclass import Detector, InputError, Recipe, load_detector, prepare_array
from midclass.cli.app import app
from midclass.detectors.catalogue import detector_class, detector_names
from midclass.detectors.folder import ABOUT, WEIGHTS
from midclass.detectors.saved import CHECKSUMS

KINDS = ["middle_class", "pca", "intensity", "one_class_svm", "autoencoder", "deep_svdd"]
ORIGIN = ["id", "seed", "fitted", "versions"]
LEFT_OUT = ["independent", *ORIGIN, "plausible", "midclass", "not_assessed", "threads", "heat"]
LEFT_OUT += ["patient_calibration", "patient_cases", "patient_fewer"]
"""What a detector of an earlier version may lack."""
KINDS += ["rotation", "nearest_neighbour", "ganomaly"]
REMARKS = {"midclass", CHECKSUMS, "cases", "patients", "not_assessed", "history", "training"}
REMARKS |= {*ORIGIN}
"""Keys on which no score depends."""
WRONG: list[Any] = [None, True, -1, 0, 1e300, 10**30, float("nan"), float("inf"), "x", [], {}, [[]]]
SHOWN = prepare_array(discs(6, 5), trained_recipe(), spacing_mm=1.0)
GIVEN = prepare_array(discs(60, 0), trained_recipe(), spacing_mm=1.0)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A detector of each kind, and one that learned in folds."""
    folder = tmp_path_factory.mktemp("saved")
    recipe = trained_recipe(steps=2)
    for name in KINDS:
        detector_class(name)(recipe).fit(GIVEN, max_fpr=0.2).save(folder / name)
    detector_class("pca")(recipe).fit(GIVEN, max_fpr=0.2, folds=3).save(folder / "folds")
    return {name: folder / name for name in (*KINDS, "folds")}


def damaged(folder: Path) -> str:
    """The one line with which a folder is refused."""
    with pytest.raises(InputError) as caught:
        load_detector(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"{folder}: ")
    assert len(message) < len(str(folder)) + 500
    return message


def scores_of(folder: Path) -> NDArray[np.float64] | None:
    """The scores of a detector that loads; None where it is refused in one line."""
    try:
        detector = load_detector(folder)
    except InputError as error:
        if "\n" in str(error):
            raise AssertionError(str(error)) from error
        return None
    return detector.score_samples(SHOWN)


def about_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / ABOUT).read_text())
    return found


def copied(folder: Path, to: Path) -> Path:
    shutil.rmtree(to, ignore_errors=True)
    shutil.copytree(folder, to)
    return to


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every key and of the first and last element of every list."""
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list) and value:
        inner = [(0, value[0]), (len(value) - 1, value[-1])]
    else:
        return
    for key, one in inner:
        yield (*path, key)
        yield from places(one, (*path, key))


def changed(about: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """A copy with another value at the path; ``...`` removes it."""
    both = copy.deepcopy(about)
    at = both
    for key in path[:-1]:
        at = at[key]
    if value is ...:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return both


@pytest.mark.parametrize("name", [*KINDS, "folds"])
def test_it_scores_as_before_to_the_last_bit(saved: dict[str, Path], name: str) -> None:
    whole = load_detector(saved[name])
    again = load_detector(saved[name])
    assert whole.score_samples(SHOWN).tobytes() == again.score_samples(SHOWN).tobytes()
    fresh = detector_class("pca" if name == "folds" else name)(trained_recipe(steps=2))
    fresh.fit(GIVEN, max_fpr=0.2, folds=3 if name == "folds" else None)
    assert fresh.score_samples(SHOWN).tobytes() == whole.score_samples(SHOWN).tobytes()


@pytest.mark.parametrize("name", ["middle_class", "folds"])
def test_any_key_that_is_dropped_or_changed_is_told(
    saved: dict[str, Path], tmp_path: Path, name: str
) -> None:
    """With its checksum a file that was changed anywhere is refused."""
    about, folder = about_of(saved[name]), copied(saved[name], tmp_path / "d")
    for path in places(about):
        if path == (CHECKSUMS,):
            continue
        (folder / ABOUT).write_text(json.dumps(changed(about, path, ...)))
        assert "is damaged" in damaged(folder), path


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("middle_class", marks=pytest.mark.slow),
        *(pytest.param(one, marks=pytest.mark.thorough) for one in KINDS[2:]),
        "pca",
        "folds",
    ],
)
def test_without_checksums_a_changed_key_is_told_or_loads(
    saved: dict[str, Path], tmp_path: Path, name: str
) -> None:
    """Whatever stands in its place there is one line and no other exception; and where it loads
    although a key is gone, that is a remark, or a field of the recipe that has a default."""
    about, folder = about_of(saved[name]), copied(saved[name], tmp_path / "d")
    del about[CHECKSUMS]
    before = load_detector(folder).score_samples(SHOWN)
    known = [path for path in places(about) if path[0] != "recipe" or name == "pca"]
    known = [path for path in known if not REMARKS & set(path[1:]) or path[-1] in REMARKS]
    rng = np.random.default_rng(0)
    for path in known:
        tried = [..., *(WRONG[i] for i in rng.permutation(len(WRONG))[:2])]
        for value in tried:
            (folder / ABOUT).write_text(json.dumps(changed(about, path, value)))
            scores = scores_of(folder)
            if scores is None:
                continue
            assert scores.shape == before.shape, (path, value)
            assert not np.isinf(scores).any(), (path, value)
            if path[-1] in REMARKS:
                np.testing.assert_array_equal(scores, before)
            elif value is ... and len(path) == 1:
                assert path[0] in LEFT_OUT, path


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("threshold", float("nan")),
        ("threshold", 1e6),
        ("threshold", "high"),
        ("max_fpr", 0),
        ("max_fpr", 1),
        ("max_fpr", 0.05),
        ("calibration", []),
        ("calibration", [2.0, 1.0, 3.0]),
        ("calibration", [1.0, float("nan")]),
        ("calibration", [True] * 30),
        ("detector", 3),
        ("detector", None),
        ("recipe", []),
        ("recipe", "chest_xray"),
        ("state", None),
        ("state", {}),
        ("plausible", {"0": {"area": [3, 2, 1]}}),
        ("plausible", {"0": {"areas": [1, 2, 3]}}),
        ("plausible", {"0": {"area": [1, 2]}}),
        ("plausible", {"x": {"area": [1, 2, 3]}}),
    ],
)
def test_a_value_that_cannot_be_is_told_without_checksums(
    saved: dict[str, Path], tmp_path: Path, key: str, value: Any
) -> None:
    folder = copied(saved["middle_class"], tmp_path / "d")
    about = about_of(folder) | {key: value}
    del about[CHECKSUMS]
    (folder / ABOUT).write_text(json.dumps(about))
    assert "is damaged" in damaged(folder)


@pytest.mark.parametrize(
    ("network", "value"),
    [
        ("classes", 10**12),
        ("classes", "3"),
        ("width", 10**9),
        ("blocks", 10**9),
        ("dims", 3),
        ("channels", 10**9),
        ("standardise", False),
        ("other", 1),
    ],
)
def test_a_network_of_another_size_is_told_before_it_is_made(
    saved: dict[str, Path], tmp_path: Path, network: str, value: Any
) -> None:
    folder = copied(saved["middle_class"], tmp_path / "d")
    about = about_of(folder)
    del about[CHECKSUMS]
    about["state"]["network"][network] = value
    (folder / ABOUT).write_text(json.dumps(about))
    assert "is damaged" in damaged(folder)


@pytest.mark.parametrize(
    "name",
    [*(pytest.param(one, marks=pytest.mark.slow) for one in KINDS[3:]), *KINDS[:3], "folds"],
)
def test_every_tensor_that_is_missing_cut_or_no_number_is_told(
    saved: dict[str, Path], tmp_path: Path, name: str
) -> None:
    folder = copied(saved[name], tmp_path / "d")
    about = about_of(folder)
    del about[CHECKSUMS]
    (folder / ABOUT).write_text(json.dumps(about))
    tensors = load_file(folder / WEIGHTS)
    some = sorted(tensors)
    if len(some) > 12:
        some = [*some[:3], *some[-9:]]
    for key in some:
        value = tensors[key]
        cases: dict[str, torch.Tensor | None] = {"missing": None}
        if value.is_floating_point():
            cases["nan"] = torch.full_like(value, torch.nan)
            cases["huge"] = torch.full_like(value, torch.inf)
            cases["other type"] = value.to(torch.complex64)
            cases["bytes"] = value.to(torch.uint8)
        if value.numel() > 1:
            cases["cut"] = value.flatten()[:-1].clone()
            cases["longer"] = torch.cat([value, value])
        for how, other in cases.items():
            rest = {k: v for k, v in tensors.items() if k != key}
            save_file(rest if other is None else {**rest, key: other}, folder / WEIGHTS)
            scores = scores_of(folder)
            if scores is not None:  # of the given class's vectors there may be one fewer
                assert how in ("cut", "longer"), (key, how)
                assert np.isfinite(scores).all(), (key, how)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_flipped_bit_or_a_cut_anywhere_is_told(
    saved: dict[str, Path], tmp_path: Path, data: st.DataObject
) -> None:
    folder = copied(saved["intensity"], tmp_path / "d")
    file = folder / data.draw(st.sampled_from([ABOUT, WEIGHTS]))
    raw = bytearray(file.read_bytes())
    place = data.draw(st.integers(0, len(raw) - 1))
    if data.draw(st.booleans()):
        raw[place] ^= 1 << data.draw(st.integers(0, 7))
    else:
        raw = raw[:place]
    file.write_bytes(raw)
    scores = scores_of(folder)
    if scores is not None:  # a blank between two values, or the name of the checksums
        whole = load_detector(saved["intensity"])
        np.testing.assert_array_equal(scores, whole.score_samples(SHOWN))
        assert load_detector(folder).threshold_ == whole.threshold_


def missing(folder: Path, file: str) -> None:
    (folder / file).unlink()


def empty(folder: Path, file: str) -> None:
    (folder / file).write_bytes(b"")


def a_folder(folder: Path, file: str) -> None:
    (folder / file).unlink()
    (folder / file).mkdir()


def a_pipe(folder: Path, file: str) -> None:
    (folder / file).unlink()
    os.mkfifo(folder / file)


def a_link(folder: Path, file: str) -> None:
    (folder / file).rename(folder.parent / file)
    (folder / file).symlink_to(folder.parent / file)


def a_loop(folder: Path, file: str) -> None:
    (folder / file).unlink()
    (folder / file).symlink_to(file)


def endless(folder: Path, file: str) -> None:
    with (folder / file).open("wb") as out:
        out.truncate(2**40)


def lying(folder: Path, file: str) -> None:
    (folder / file).write_bytes((2**60).to_bytes(8, "little") + b"{}")


def deep(folder: Path, file: str) -> None:
    (folder / file).write_text("[" * 100_000)


def twice(folder: Path, file: str) -> None:
    (folder / file).write_text('{"detector": "a", "detector": "b"}')


def a_list(folder: Path, file: str) -> None:
    (folder / file).write_text("[1, 2]")


@pytest.mark.parametrize("file", [ABOUT, WEIGHTS])
@pytest.mark.parametrize(
    "spoil",
    [missing, empty, a_folder, a_pipe, a_link, a_loop, endless, lying, deep, twice, a_list],
    ids=lambda spoil: spoil.__name__,
)
def test_a_file_that_is_none_is_told(
    saved: dict[str, Path], tmp_path: Path, file: str, spoil: Any
) -> None:
    folder = copied(saved["intensity"], tmp_path / "d")
    spoil(folder, file)
    said = damaged(folder)
    assert "no saved detector here" in said if spoil is missing else "is damaged" in said


def test_a_weights_header_that_lies_is_told(saved: dict[str, Path], tmp_path: Path) -> None:
    folder = copied(saved["intensity"], tmp_path / "d")
    about = about_of(folder)
    del about[CHECKSUMS]
    (folder / ABOUT).write_text(json.dumps(about))
    raw = (folder / WEIGHTS).read_bytes()
    size = int.from_bytes(raw[:8], "little")
    head, rest = json.loads(raw[8 : 8 + size]), raw[8 + size :]
    for change in (
        {"mean": {"dtype": "F32", "shape": [10**9], "data_offsets": [0, 8]}},
        {"mean": {"dtype": "F32", "shape": [2], "data_offsets": [0, 10**12]}},
        {"mean": {"dtype": "F32", "shape": [2], "data_offsets": [4, 12]}},
        {"mean": {"dtype": "F99", "shape": [2], "data_offsets": [0, 8]}},
        {"mean": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 8]}},
        {"mean": {"dtype": "F32", "shape": [], "data_offsets": [8, 0]}},
    ):
        text = json.dumps(head | change).encode()
        (folder / WEIGHTS).write_bytes(len(text).to_bytes(8, "little") + text + rest)
        assert "is damaged" in damaged(folder), change


def test_a_version_to_come_is_named_where_its_detector_does_not_load(
    saved: dict[str, Path], tmp_path: Path
) -> None:
    folder = copied(saved["intensity"], tmp_path / "d")
    about = about_of(folder) | {"midclass": "99.0", "new": "remark"}
    del about[CHECKSUMS]
    (folder / ABOUT).write_text(json.dumps(about))
    assert load_detector(folder).threshold_ == about["threshold"]
    about["recipe"]["field_to_come"] = 1
    (folder / ABOUT).write_text(json.dumps(about))
    assert "it was saved by midclass 99.0" in damaged(folder)


MODULE = """
from pathlib import Path
Path(__file__).with_suffix(".ran").touch()
def mark(pixels, spacing_mm):
    Path(__file__).with_suffix(".called").touch()
    return pixels[0] > 0
class Any: pass
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of a stranger's, which tells when it is imported or called."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "strange_package.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.delitem(sys.modules, "strange_package", raising=False)
    return tmp_path / "site"


PLACES = ["anatomy", "geometry.crop", "middle_classes", "held_out", "detector"]
NAMED = ["shutil:rmtree", "os:system", "strange_package:mark", "strange_package:Any"]
NAMED += ["midclass.files:new_folder", "midclass.files:digest", "midclass.__main__:main"]
NAMED += ["midclass.images.store:fetch", "midclass.cli.app:main", "./own.py:mark", "../x.py:f"]
NAMED += ["midclass.images.anatomy.regions:disc", "midclass.images.anatomy.learned:_network"]
NAMED += ["store.fetch", "keys.folder", "midclass.recipe.resolve:_run", "", ":", "a:", ":b", "..:x"]
NAMED += ["midclass.images.anatomy.base:against_dark", "midclass.images..anatomy:whole", "\x00:x"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", NAMED)
def test_nothing_that_a_saved_detector_names_is_imported_or_called(
    saved: dict[str, Path], tmp_path: Path, installed: Path, place: str, name: str
) -> None:
    folder = copied(saved["intensity"], tmp_path / "d")
    (folder / "own.py").write_text(MODULE)
    about = about_of(folder)
    del about[CHECKSUMS]
    recipe = about["recipe"]
    if place == "detector":
        about["detector"] = name
    elif place == "anatomy":
        recipe["anatomy"] = name
    elif place == "geometry.crop":
        recipe["geometry"]["crop"] = name
    else:
        recipe[place] = {"a": {"operator": name, "why": "", "diameter_mm": [3, 5]}}
    (folder / ABOUT).write_text(json.dumps(about))
    before = set(sys.modules)

    def all_that_it_names() -> None:
        """Where nothing asks for operators, a detector loads without them."""
        detector = load_detector(folder)
        prepare_array(discs(2, 1), detector.recipe, spacing_mm=1.0)
        detector.recipe.operators()
        detector.recipe.held_out_operators()

    with pytest.raises(InputError) as caught:
        all_that_it_names()
    assert "\n" not in str(caught.value)
    new = {one for one in set(sys.modules) - before if not one.startswith(("midclass.", "torch"))}
    assert "strange_package" not in new
    for where in (installed, folder):
        assert not [*where.rglob("*.ran"), *where.rglob("*.called")]


def test_a_package_runs_where_the_user_names_it(
    saved: dict[str, Path], tmp_path: Path, installed: Path
) -> None:
    folder = copied(saved["intensity"], tmp_path / "d")
    about = about_of(folder)
    del about[CHECKSUMS]
    about["recipe"]["anatomy"] = "strange_package:mark"
    (folder / ABOUT).write_text(json.dumps(about))
    images = discs(2, 1)
    with pytest.raises(InputError, match="pass --trust strange_package"):
        prepare_array(images, load_detector(folder).recipe, spacing_mm=1.0)
    for trust in ([Path("strange")], [Path("strange_package.py")]):
        with pytest.raises(InputError, match="pass --trust strange_package"):
            prepare_array(images, load_detector(folder, trust).recipe, spacing_mm=1.0)
    detector = load_detector(folder, [Path("strange_package")])
    prepare_array(images, detector.recipe, spacing_mm=1.0)
    assert [*installed.rglob("*.called")]


def test_a_recipe_of_a_stranger_runs_nothing_either(tmp_path: Path, installed: Path) -> None:
    fields = trained_recipe().to_dict()
    for name in ("strange_package:mark", "shutil:rmtree", "midclass.files:digest"):
        with pytest.raises(InputError):
            Recipe.from_dict(fields | {"anatomy": name}).check()
    with pytest.raises(InputError, match="pass --trust strange_package"):
        detector_class("strange_package:Any")
    assert not [*installed.rglob("*.ran")]


def test_every_detector_and_anatomy_of_midclass_is_found_without_trust() -> None:
    for name in detector_names():
        if name != "supervised":
            assert issubclass(detector_class(name), Detector)
    from midclass.recipe.names import shipped

    for name in shipped():
        Recipe.load(name).check()


def test_a_function_that_takes_something_else_is_no_anatomy(tmp_path: Path) -> None:
    own = tmp_path / "own.py"
    own.write_text("def remove(path): raise AssertionError\nX = 3\n")
    for name in ("remove", "X"):
        wanted = Recipe.from_dict(trained_recipe().to_dict() | {"anatomy": f"{own}:{name}"}, [own])
        with pytest.raises(InputError, match=r"is no (anatomy )?function"):
            wanted.check()


def test_the_command_says_it_in_one_line_with_exit_code_2(
    saved: dict[str, Path], tmp_path: Path
) -> None:
    folder = copied(saved["intensity"], tmp_path / "d")
    (folder / WEIGHTS).write_bytes(b"")
    image = tmp_path / "image.png"
    image.write_bytes(b"")
    for command in (["score", str(folder), str(image), "--out", str(tmp_path / "s.csv")],):
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 2
        assert done.stderr.count("\n") == 1
        assert str(folder) in done.stderr
        assert "the saved detector is damaged" in done.stderr
