"""Study cells: one detector on one repeat of one task, as a process gets it."""

from __future__ import annotations

import os
import shutil
import time
import traceback
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from midclass.errors import STOPS, InputError, in_one_line
from midclass.files import digest, write_text_atomic
from midclass.images.identity import hash_of_file
from midclass.recipe.budget import weights_file
from midclass.recipe.file import with_files
from midclass.study.log import Outcome

if TYPE_CHECKING:
    from midclass.images.cohort import Cohort

ERROR = "error.txt"
"""In ``work/CELL``: the traceback of a cell that failed."""


@dataclass(frozen=True)
class Cell:
    """One detector on one repeat of one task: what a process needs to compute its score table.

    Attributes:
        task, detector, repeat: where its score table lies.
        recipe: fields of the recipe.
        module: of the detector.
        cohort: path of the manifest.
        split: column, or None.
        max_fpr: promised false-alarm rate.
        source: the recipe's file, to which the files that it names are relative.
        trust: files of the user's that may run.
        positives: number of target-class cases to learn from.
        known_patients: see ``Task``.
        root: folder to which the manifest's paths are relative, by default the manifest's.
        redraw: see ``Task``.
    """

    task: str
    detector: str
    repeat: int
    recipe: dict[str, Any]
    module: str
    cohort: Path
    split: str | None
    max_fpr: float
    source: Path
    trust: tuple[Path, ...] = ()
    positives: int = 0
    known_patients: float = 0.0
    root: Path | None = None
    redraw: bool = False

    def absolute(self) -> Cell:
        """The same cell with absolute paths, for a process that runs in another folder."""
        return replace(
            self,
            module=with_files(self.module, lambda file: str(Path(file).absolute())),
            cohort=self.cohort.absolute(),  # not resolved: files beside a link are not its target's
            source=self.source.absolute(),
            trust=tuple(one.absolute() if one.suffix == ".py" else one for one in self.trust),
            root=self.root and self.root.absolute(),
        )

    @property
    def settings(self) -> str:
        """Hash of everything that its scores depend on, except the images.

        That is its fields, and the contents of the manifest, of the file of the split, and of the
        user's files and weights that its module and its recipe name. Folders do not count, so that
        a study that was copied has the same settings; nor what the recipe accepts, by which files
        fail and no score changes (tables with and without them are of other images).
        """
        file, _, _ = (self.split or "").rpartition(":")
        read = [self.cohort, *([self.cohort.parent / file] if file else [])]
        named = {Path(self.module.rpartition(":")[0]).resolve()}

        def name_of(file: str) -> str:
            named.add((self.source.parent / file).resolve())
            return Path(file).name

        recipe = with_files(self.recipe, name_of)
        recipe = {name: value for name, value in recipe.items() if name != "accepts"}
        return digest(
            recipe,
            Path(self.module).name,
            self.split,
            self.max_fpr,
            self.repeat,
            self.positives,
            self.known_patients,
            *_hashes(read),
            *sorted(_hashes(named)),
            *([] if self.root is None else [os.path.relpath(self.root, self.cohort.parent)]),
            *(["redraw"] if self.redraw else []),
        )

    @property
    def weights(self) -> Path | None:
        """File of a pretrained network's weights, where its recipe asks for any."""
        return weights_file(self.recipe["budget"]["pretrained"], self.source.parent)

    @property
    def name(self) -> str:
        """``TASK/DETECTOR/REPEAT``."""
        return f"{self.task}/{self.detector}/{self.repeat}"


def _hashes(files: Iterable[Path]) -> list[str]:
    return [hash_of_file(file) for file in files if file.is_file()]


def run_cell(cell: Cell, folder: Path, cache: Path | None = None) -> Outcome:
    """Fit the cell's detector, score its test cases and write the score table.

    One thread, so that the bytes do not depend on how many cells run at once. An interrupted
    training goes on from its last checkpoint, kept in ``FOLDER/work`` under the cell's settings.
    A test case that cannot be read or is not accepted is not assessed; one to learn from is an
    error, as in ``fit``.
    Errors are caught and told, so that the other cells go on; the traceback is in ``error.txt``
    there until the cell succeeds.
    """
    started, wrong, settings = time.monotonic(), "", ""
    try:
        settings = cell.settings
        _score(cell, folder, cache, folder / "work" / cell.name / settings)
    except STOPS:
        raise
    except BaseException as error:  # one cell must not end the others, whatever went wrong in it
        wrong = _without_folders(_one_line(error, cell.trust), cell)
        with suppress(OSError, InputError):  # a full disk must not either
            told = _without_folders(traceback.format_exc(), cell)
            write_text_atomic(folder / "work" / cell.name / ERROR, told)
    return Outcome(cell.name, time.monotonic() - started, wrong, settings)


def _without_folders(text: str, cell: Cell) -> str:
    """A message without the folders above the study's data and recipes: it is kept in a log."""
    places = {cell.cohort.parent, cell.source.parent, *([cell.root] if cell.root else [])}
    both = {str(one) for place in places for one in (place.absolute(), place.resolve())}
    for place in sorted(both - {"/"}, key=len, reverse=True):
        text = text.replace(f"{place}{os.sep}", "")
    return text


def _one_line(error: BaseException, trust: Collection[Path]) -> str:
    """What went wrong, and for a bug where.

    The place is in the user's file if any call went through it, since that is what they can change.
    """
    if isinstance(error, InputError):
        return in_one_line(error)
    frames = traceback.extract_tb(error.__traceback__)
    files = {str(path.resolve()) for path in trust}
    own = [frame for frame in frames if frame.filename in files]
    last = (own or frames)[-1]
    return f"{in_one_line(error)} ({Path(last.filename).name}:{last.lineno})"


def _score(cell: Cell, folder: Path, cache: Path | None, work: Path) -> None:
    import torch

    from midclass.detectors.catalogue import detector_class
    from midclass.detectors.cohort_scores import score_table, with_failed
    from midclass.detectors.provenance import write_provenance
    from midclass.evaluation.patients import has_series
    from midclass.evaluation.report import reasons
    from midclass.images.prepare import prepare
    from midclass.recipe.recipe import Recipe

    torch.set_num_threads(1)
    recipe = Recipe.from_dict(cell.recipe, cell.trust, cell.source)
    train, test = cases(cell)
    positives = train.some_of_target_class(cell.positives, cell.repeat)
    detector = detector_class(cell.module, cell.trust)(recipe)
    detector.fit(
        prepare(train.given_class(), recipe, cache=cache),
        positives=prepare(positives, recipe, cache=cache) if len(positives) else None,
        seed=cell.repeat,
        max_fpr=cell.max_fpr,
        workdir=work,
    )
    several = has_series([case.series_id for case in test])
    unseen = prepare(test, recipe, cache=cache, keep_going=True)
    table = score_table(detector, unseen, slices=True, series=several)
    table = with_failed(detector, test, table, unseen.failed, series=several)
    if len(labels := set(table.label[table.assessed].tolist())) < 2:
        none = "given" if 0 not in labels else "target"
        why = ", ".join(f"{reason} ({number})" for reason, number in reasons(table).items())
        raise InputError(f"no test case of the {none} class can be assessed: {why}")
    assessed = table.score[table.assessed]
    if len(assessed) > 1 and np.ptp(assessed) == 0:
        raise InputError(
            f"all {len(assessed)} test cases that can be assessed have the score {assessed[0]:g}, "
            "which tells nothing; look at what the detector computes, or give it more steps"
        )
    out = table_of(folder, cell.name)
    # What could not be used has no contents: tables with and without it are of other images.
    read = dict(zip((case.case_id for case in unseen.cases), unseen.contents, strict=True))
    contents = [read.get(case.case_id, "") for case in test]
    write_provenance(detector, cell.name, out, images=contents)
    table.write(out)  # last, for with it the cell is done
    remove_work(work.parent)  # also what other settings left


def cases(cell: Cell) -> tuple[Cohort, Cohort]:
    """The cases to learn from and those to score, read and checked.

    Raises:
        InputError: the manifest is wrong, a class, the asked positives or a file to learn from are
            not there, or a patient or an image is on both sides.
    """
    from midclass.images.cohort import Cohort

    found = Cohort.from_manifest(cell.cohort, cell.split, root=cell.root, some_missing=True)
    train, test = parts(found, cell)
    where = f"{cell.cohort}" + (f", split {cell.split}" if cell.split else "")
    files = [file for case in train for file in (case.path, case.mask) if file is not None]
    if absent := [file for file in files if not file.is_file()]:
        raise InputError(
            f"{where}: no such file {absent[0]}, which is to be learned from ({len(absent)} "
            "in all); leave such rows out"
        )
    if not len(train.given_class()):
        raise InputError(
            f"{where}: none of {len(train)} cases to learn from is of the given class (label 0); "
            "put some into the part train"
        )
    for label, name in enumerate(("given", "target")):
        if label not in test.labels:
            share = cell.known_patients
            how = f"lower known_patients, which is {share:g}" if share else "take another split"
            raise InputError(
                f"{where}: none of {len(test)} cases to score is of the {name} class (label "
                f"{label}), which leaves nothing to measure; {how}"
            )
    if cell.positives > (there := len(train.target_class())):
        raise InputError(
            f"{where}: {cell.detector} asks for {cell.positives} positives, there are {there} "
            "target-class cases (label 1) to learn from; lower positives, or give the task more "
            "known_patients"
        )
    train.check_no_leak(test)
    return train, test


def parts(cohort: Cohort, cell: Cell) -> tuple[Cohort, Cohort]:
    """The cases to learn from and those to score; see ``known_patients`` and ``redraw`` of Task."""
    train, test = cohort.part("train"), cohort.part("test")
    if cell.redraw:
        train, test = redrawn(train, test, cell.repeat)
    target = test.target_class().patients
    count = round(cell.known_patients * len(target))
    if not count:
        return train, test
    known = set(np.random.default_rng(cell.repeat).permutation(target)[:count].tolist())
    before, tested = ({case.case_id for case in part} for part in (train, test))
    learn = np.array([c.case_id in before or c.patient_id in known for c in cohort])
    score = np.array([c.case_id in tested and c.patient_id not in known for c in cohort])
    return cohort[learn], cohort[score]


def redrawn(train: Cohort, test: Cohort, seed: int) -> tuple[Cohort, Cohort]:
    """Other patients of the given class to learn from, as many as before."""
    both = replace(train, cases=(*train, *test))
    target = set(both.target_class().patients)
    given = both[np.array([case.patient_id not in target for case in both])]
    before = [patient for patient in train.patients if patient not in target]
    share = len(before) / len(given.patients)
    drawn = given.split_by_patient({"train": share, "test": 1 - share}, seed)
    learn = {case.patient_id for case in drawn["train"]}
    stays = {case.case_id for case in train if case.patient_id in target}
    to_learn = np.array([c.case_id in stays or c.patient_id in learn for c in both])
    return both[to_learn], both[~to_learn]


def remove_work(folder: Path) -> None:
    """Remove what a cell needed to go on, if nothing of anybody else is among it."""
    files = [path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()]
    if all(path.name in (ERROR, "training.pt") for path in files):
        shutil.rmtree(folder, ignore_errors=True)


def table_of(folder: Path, cell: str) -> Path:
    """``FOLDER/scores/TASK/DETECTOR/REPEAT.csv`` of the cell with this name."""
    return folder / "scores" / f"{cell}.csv"
