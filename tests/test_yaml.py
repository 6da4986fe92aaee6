"""Laws of YAML: plain words are those of YAML 1.2, and no file is too much."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from makers import NAMES
from midclass import InputError, Recipe
from midclass.recipe import plain_yaml
from midclass.recipe.names import SHIPPED
from midclass.recipe.plain_yaml import read_yaml
from midclass.study.file import Study

FOLDERS = [SHIPPED, Path(__file__).parents[1] / "studies", Path(__file__).parents[1] / "examples"]
BASE = NAMES + "middle_classes:\n  mass: {operator: focal.Focal}\n"


def value_of(folder: Path, text: str | bytes) -> Any:
    file = folder / "f.yaml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_yaml(file)


def refused(folder: Path, text: str | bytes) -> str:
    start = time.monotonic()
    with pytest.raises(InputError) as caught:
        value_of(folder, text)
    assert time.monotonic() - start < 5
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < len(str(folder)) + 400
    return message.removeprefix(str(folder))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("yes", "yes"),
        ("No", "No"),
        ("on", "on"),
        ("OFF", "OFF"),
        ("y", "y"),
        ("010", 10),
        ("0o10", 8),
        ("0x1f", 31),
        ("0b11", "0b11"),
        ("1:30", "1:30"),
        ("190:20:30", "190:20:30"),
        ("1e3", 1000.0),
        ("1.e+3", 1000.0),
        ("-.5", -0.5),
        ("1_000", "1_000"),
        ("1,5", "1,5"),
        ("2026-11-28", "2026-11-28"),
        ("=", "="),
        ("<<", "<<"),
        ("true", True),
        ("False", False),
        ("", None),
        ("~", None),
        ("Null", None),
        (".inf", math.inf),
        ("-.Inf", -math.inf),
        ("'010'", "010"),
        ('"true"', "true"),
        ("!!str 010", "010"),
    ],
)
def test_a_plain_word_means_what_yaml_1_2_says(tmp_path: Path, text: str, expected: Any) -> None:
    found = value_of(tmp_path, f"a: {text}")["a"]
    assert (type(found), found) == (type(expected), expected)


@settings(max_examples=150, deadline=None)
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(10**9), 10**9)
        | st.text("ab:#-{[*&! 'é\"", max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.text("abc", min_size=1, max_size=3), inner, max_size=3)
        ),
        max_leaves=8,
    )
)
def test_what_is_written_without_doubt_is_read_back(tmp_path_factory: Any, value: Any) -> None:
    folder = tmp_path_factory.getbasetemp()
    assert value_of(folder, yaml.safe_dump({"a": value}, allow_unicode=True)) == {"a": value}


def test_every_yaml_file_of_midclass_is_read_as_before() -> None:
    """None of them has a word that the two versions of YAML take for different things."""
    files = [file for folder in FOLDERS for file in folder.rglob("*.yaml")]
    assert len(files) > 30
    for file in files:
        assert read_yaml(file) == yaml.safe_load(file.read_text("utf-8")), file


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &a [*a]", "stands for nothing that is complete"),
        ("&a {b: *a}", "stands for nothing that is complete"),
        ("a: *b", "stands for nothing that is complete"),
        ("[" * 100_000, "inside each other"),
        ("- " * 30_000, "inside each other"),
        ("{a: " * 3_000, "inside each other"),
        ("\n".join(f"{' ' * i}a:" for i in range(40)), "inside each other"),
        ("? ? ? a", "a key that is no word"),
        ("[a]: b", "a key that is no word"),
        (f"a: {'9' * 5000}", "a number of 5000 digits"),
        (f"a: 0x{'9' * 5000}", "a number of 5002 digits"),
        (f"{'k' * 500}: 1", "a key of 500 characters"),
        ("a: !!python/object/apply:os.system [x]", "the tag"),
        ("a: !!binary aGVsbG8=", "the tag"),
        ("a: !!set {b, c}", "the tag"),
        ("a: 1\nb: 2\na: 3", "line 3: is not YAML: 'a' twice"),
        ("a: {b: 1, b: 2}", "'b' twice"),
        ("a: 1\n---\nb: 2", "a second document"),
        ("\n".join(f"key_{i}: 1" for i in range(25_000)), "more than 20000 values"),
        ("a" * 600_000, "is larger than 512 KiB"),
        (b"a: \xff\xfe", "cannot be read as utf-8"),
        (b"\xff\xfea", "cannot be read as utf-16"),
        ("a: \0", "cannot be read"),
    ],
)
def test_what_cannot_be_meant_is_one_line(tmp_path: Path, text: str | bytes, message: str) -> None:
    assert message in refused(tmp_path, text)


def test_few_bytes_do_not_become_many_values(tmp_path: Path) -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    assert "aliases included" in refused(tmp_path, "\n".join(lines))
    assert value_of(tmp_path, "a: &x {b: 1}\nc: *x") == {"a": {"b": 1}, "c": {"b": 1}}


def test_twelve_megabytes_of_keys_are_not_even_read(tmp_path: Path) -> None:
    assert "is larger than" in refused(tmp_path, "\n".join(f"k{i}: 1" for i in range(1_200_000)))


@settings(max_examples=300, deadline=None)
@given(st.text("ab:-?[]{}&*!|>'\"#,%@` \n\t019.~<=", max_size=60))
def test_any_text_is_a_value_or_one_line(tmp_path_factory: Any, text: str) -> None:
    folder = tmp_path_factory.getbasetemp()
    with suppress(InputError):  # of one line, as the others here
        value_of(folder, text)


@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_mark_of_the_coding_is_understood(tmp_path: Path, coding: str) -> None:
    assert value_of(tmp_path, "name: Tübingen".encode(coding)) == {"name": "Tübingen"}


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("budget: {steps: 1e21}", "budget.steps"),
        ("budget: {batch: 1000000000}", "budget.batch"),
        ("budget: {width: 800000000}", "budget.width"),
        ("budget: {blocks: 1000000000}", "budget.blocks"),
        ("budget: {checkpoints: 1e9}", "budget.checkpoints"),
        ("held_out: {a: {operator: focal.Focal, foci: 1000000000}}", "held_out.a.foci"),
        ("held_out: {a: {operator: focal.Focal, diameter_mm: [5, 1e9]}}", "diameter_mm"),
        ("held_out: {a: {operator: spiculation.Spiculation, count: [5, 99999]}}", "count"),
        ("intensity: {scale: 1e300}", "intensity.scale"),
        ("sham: .nan", "sham"),
    ],
)
def test_a_number_beyond_all_sense_is_named_with_its_field(
    tmp_path: Path, line: str, field: str
) -> None:
    file = tmp_path / "my.yaml"
    file.write_text(BASE + line)
    with pytest.raises(InputError) as caught:
        Recipe.load(file).check()
    assert field in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", ["1e9", "[1000000000, 64]", "[64]", "[.inf, 64]", "[64, yes]"])
def test_a_size_beyond_all_sense_is_refused(tmp_path: Path, size: str) -> None:
    file = tmp_path / "my.yaml"
    file.write_text(BASE.replace("[64, 64]", size))
    with pytest.raises(InputError, match=r"geometry"):
        Recipe.load(file)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("Summary: x", "summary"),
        ("given-class: x", "given_class"),
        ("MiddleClasses: {}", "middle_classes"),
        ("budgets: {}", "budget"),
        ("budget: {Steps: 3}", "steps"),
        ("budget: {learning-rate: 3}", "learning_rate"),
        ("nuisance: {Rotation-Deg: 3}", "rotation_deg"),
        ("held_out: {a: {operator: focal.Focal, Diameter-MM: [5, 9]}}", "diameter_mm"),
        ("held_out: {a: {Operator: focal.Focal}}", "operator"),
    ],
)
def test_a_key_that_is_nearly_one_is_named_with_the_one(
    tmp_path: Path, wrong: str, right: str
) -> None:
    file = tmp_path / "my.yaml"
    file.write_text(BASE + wrong)
    with pytest.raises(InputError, match=f"did you mean '{right}'"):
        Recipe.load(file).check()


def test_a_key_of_a_study_that_is_nearly_one_is_named_with_the_one(tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    for text, right in (
        ("name: a\nTasks: {}", "tasks"),
        ("name: a\ntasks: {t: {recipe: r, cohort: c, Split: s}}\ndetectors: {d: {}}", "split"),
        ("name: a\ntasks: {t: {recipe: r, cohort: c}}\ndetectors: {d: {Positive: 1}}", "positives"),
    ):
        file.write_text(text)
        with pytest.raises(InputError, match=f"did you mean '{right}'"):
            Study.load(file)


def test_recipes_that_extend_each_other_end(tmp_path: Path) -> None:
    for i in range(40):
        (tmp_path / f"r{i}.yaml").write_text(f"extends: r{i + 1}.yaml\n")
    with pytest.raises(InputError, match="shorten the chain"):
        Recipe.load(tmp_path / "r0.yaml")


def test_the_bounds_leave_room_for_what_people_write() -> None:
    largest = max(file.stat().st_size for folder in FOLDERS for file in folder.rglob("*.yaml"))
    assert largest * 20 < plain_yaml.LARGEST
