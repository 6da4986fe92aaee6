"""Provenance: what made a detector and a score table is known, and no score depends on the day."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from makers import Brightness, discs, phantom_folder, recipe, tiny_phantoms
from midclass import load_detector, prepare_array
from midclass.cli.commands import score
from midclass.cli.options import Options
from midclass.detectors.baselines.pca import PCA
from midclass.detectors.card import CARD, model_card
from midclass.detectors.folder import ABOUT
from midclass.detectors.provenance import today
from midclass.detectors.saved import facts_of
from midclass.detectors.site import set_threshold
from midclass.images.cohort import Cohort

RECIPE = recipe(
    budget={"standardise": False},
    accepts={"modality": ["CR"], "body_part": ["CHEST"]},
    middle_classes={
        "ball": {"operator": "focal.Focal", "why": "Nodules are round (a source, 2008)."}
    },
)
IMAGES = discs(150, seed=0)
DAYS = ("86400", "864000")
"""Seconds after 1970-01-01."""


def fit(seed: int = 0, n: int = 120) -> PCA:
    return PCA(RECIPE, max_fpr=0.1).fit(IMAGES[:n], groups=np.arange(n) // 2, seed=seed)


@pytest.fixture(scope="module")
def fitted() -> PCA:
    return fit()


@pytest.fixture(autouse=True)
def _day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", DAYS[0])


def test_a_detector_says_when_with_what_and_from_which_seed_it_was_fitted(tmp_path: Path) -> None:
    fit(seed=5).save(tmp_path / "d")
    about = json.loads((tmp_path / "d" / ABOUT).read_text())
    assert (about["seed"], about["fitted"]) == (5, "1970-01-02")
    assert set(about["versions"]) == {"midclass", "torch", "numpy", "python"}
    assert load_detector(tmp_path / "d").origin_.id == about["id"]


def test_the_id_is_that_of_what_it_learned_and_not_of_the_day(
    fitted: PCA, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", DAYS[1])
    again = fit()
    assert today() == "1970-01-11"
    assert again.origin_.id == fitted.origin_.id
    assert fit(seed=1).origin_.id != fitted.origin_.id


def test_another_threshold_is_another_detector(fitted: PCA, tmp_path: Path) -> None:
    fitted.save(tmp_path / "d")
    other = load_detector(tmp_path / "d")
    set_threshold(other, prepare_array(IMAGES[120:], RECIPE), tmp_path / "d", 0.2)
    assert other.origin_.id != fitted.origin_.id
    assert other.origin_.seed == fitted.origin_.seed


def test_a_detector_of_an_earlier_version_gets_an_id(fitted: PCA, tmp_path: Path) -> None:
    fitted.save(tmp_path / "d")
    file = tmp_path / "d" / ABOUT
    about = json.loads(file.read_text())
    said = about["id"]
    for name in ("id", "seed", "fitted", "versions", "sha256"):
        del about[name]
    file.write_text(json.dumps(about))
    old = load_detector(tmp_path / "d")
    assert old.origin_.id == said
    assert (old.origin_.seed, old.origin_.fitted) == (None, "")
    old.save(tmp_path / "again")
    assert "fitted on a day that is not known" in (tmp_path / "again" / CARD).read_text()


def test_the_model_card_says_what_must_be_known(fitted: PCA, tmp_path: Path) -> None:
    fitted.save(tmp_path / "d")
    card = (tmp_path / "d" / CARD).read_text(encoding="utf-8")
    rate = fitted.promise()
    for said in (
        f"Detector `{fitted.origin_.id}`, a PCA, fitted on {fitted.origin_.fitted} with",
        "not a medical device",
        "- **ball**: Nodules are round (a source, 2008).",
        "DICOM files of modality CR of body part CHEST",
        "| to learn from | 84 | 42 | 0 |",
        "| to set the threshold | 24 | 12 | 0 |",
        "No image of the target class was used.",
        f"{fitted.threshold_:.4g} | 10.0% | {rate['low']:.1%} to {rate['high']:.1%} | 24 | 12 |",
        "None: all weights were learned from the cases above.",
    ):
        assert said in card, said


def test_the_model_card_says_where_weights_are_from() -> None:
    one = Brightness(recipe(budget={"pretrained": "imagenet"})).fit(IMAGES[:120], max_fpr=0.1)
    facts = {"novelty": {"network": {"architecture": "EfficientNetLite0"}}}
    assert "(Apache-2.0)" in model_card(one, facts)
    assert "None: all weights" in model_card(one, facts_of(one)[0])
    other = Brightness(recipe(budget={"pretrained": "/home/ann/w.pth"})).fit(
        IMAGES[:120], max_fpr=0.1
    )
    card = model_card(other, facts)
    assert "user's file w.pth" in card
    assert "/home/ann" not in card


@pytest.mark.slow
def test_a_table_has_the_same_bytes_on_another_day_and_its_provenance_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = phantom_folder(tmp_path, tiny_phantoms(), given=40)
    cohort = Cohort.from_manifest(folder / "data" / "manifest.csv").part("test")
    one = PCA(str(folder / "tiny.yaml"), max_fpr=0.2).fit(discs(60, seed=0))
    one.save(tmp_path / "d")
    options = Options(cache=tmp_path / "cache")
    tables = []
    for day in DAYS:
        monkeypatch.setenv("SOURCE_DATE_EPOCH", day)
        score.run(tmp_path / "d", cohort, options, out=tmp_path / f"{day}.csv", max_fpr=0.3)
        tables.append((tmp_path / f"{day}.csv").read_bytes())
    assert tables[0] == tables[1]
    said = json.loads((tmp_path / f"{DAYS[1]}.provenance.json").read_text())
    assert said["scored"] == "1970-01-11"
    assert said["detector"]["id"] == one.origin_.id
    assert (said["detector"]["name"], said["detector"]["max_fpr"]) == ("d", 0.3)
    assert said["tables"] == [f"{DAYS[1]}.csv", f"{DAYS[1]}_patients.csv"]
    score.run(
        tmp_path / "d",
        cohort,
        Options(cache=tmp_path / "cache", overwrite=True),
        out=tmp_path / f"{DAYS[1]}.csv",
    )
    (tmp_path / f"{DAYS[0]}.csv").unlink()
    (tmp_path / f"{DAYS[0]}_patients.csv").unlink()
    (tmp_path / f"{DAYS[0]}.provenance.json").write_text("my notes")
    with pytest.raises(Exception, match="was not written by midclass; nothing was replaced"):
        score.run(tmp_path / "d", cohort, options, out=tmp_path / f"{DAYS[0]}.csv")
    assert (tmp_path / f"{DAYS[0]}.provenance.json").read_text() == "my notes"
