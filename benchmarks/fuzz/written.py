"""Right recipes, studies, manifests, score tables and saved detectors."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fuzz.right import Seed, discs, encoded, picture

RECIPE = """\
name: small
given_class: normal
target_class: disease
geometry: {size: [32, 32], spacing_mm: 1.0}
anatomy: anatomy.whole
intensity: {rule: percentiles, low: 0.5, high: 99.5}
middle_classes:
  ball: {operator: focal.Focal, why: a ball, diameter_mm: [5, 12], foci: [1, 3]}
  mixed:
    one_of:
      - {operator: opacity.Opacity, why: veiled}
      - all_of: [{operator: focal.Focal, diameter_mm: [5, 9]}, {operator: deformation.Deformation}]
held_out: {moved: {operator: deformation.Deformation, radius_mm: [5, 9]}}
nuisance: {rotation_deg: 10, gain: [0.8, 1.2]}
budget: {steps: 4, batch: 8, width: 8, checkpoints: 1, pretrained: null}
"""
STUDY = """\
name: small
repeats: 2
max_fpr: 0.1
common: {budget: {steps: 2}}
tasks:
  one: {recipe: chest_xray, cohort: one/manifest.csv, split: "repeat_{repeat}"}
  two: {recipe: head_ct, cohort: two.csv, title: second, known_patients: 0.2, max_fpr: 0.2}
detectors:
  all: {}
  few: {positives: 3, tasks: [one]}
  only: {only: [opacity], tasks: [one], title: alone}
  pca: {detector: pca, change: {budget: {steps: 1}}}
"""
MANIFEST = "path,label,patient_id,split,laterality,spacing_mm,x,y,slice,class_name\n" + "".join(
    f"{name},{label},p{label}{k},{part},{'LR'[k % 2]},0.4;0.5,{10 + k},12.5,{k},tissue\n"
    for k, (name, label, part) in enumerate(
        [("a.png", 0, "train"), ("b.png", 0, "test"), ("c.png", 1, "test"), ("d.png", 0, "train")]
    )
)
ROWS = "path,label,patient_id,array,index\n" + "".join(
    f"a.npz,0,p{k},images,{k}\n" for k in range(4)
)
SCORES = "case_id,patient_id,label,class_name,score,threshold,assessed,reason,review\n" + "".join(
    f"c{k},p{k},{k % 2},tissue,{k / 7:.6f},0.5,1,,{int(k > 3)}\n" for k in range(8)
)


def texts() -> Iterator[Seed]:
    from midclass.recipe.names import SHIPPED

    yield Seed("recipe", "small", RECIPE.encode())
    for file in sorted(SHIPPED.glob("*.yaml")):
        yield Seed("recipe", file.stem, file.read_bytes())
    yield Seed("study", "small", STUDY.encode())
    images = {f"{name}.png": encoded(picture(), "PNG") for name in "abcd"}
    yield Seed("manifest", "images", MANIFEST.encode(), images)
    archive, array = io.BytesIO(), io.BytesIO()
    np.save(array, np.stack([picture(side=16)] * 4))
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(zipfile.ZipInfo("images.npy"), array.getvalue())
    yield Seed("manifest", "rows", ROWS.encode(), {"a.npz": archive.getvalue()})
    yield Seed("score table", "small", SCORES.encode())


PARTS = {"detector.json": "detector.json", "weights": "weights.safetensors"}
SAVED = {"intensity": None, "pca": None, "middle_class": None, "cutpaste": None, "folds": 5}


def detectors(folder: Path) -> Iterator[Seed]:
    """Detectors fitted on discs, once for a folder; each is a seed for both of its files.

    Each is there as it is and without its checksums, which would find all damage: a stranger
    leaves them out, and earlier versions wrote none.
    """
    import yaml

    import midclass
    from midclass.detectors.catalogue import detector_class

    for name, folds in SAVED.items():
        place = folder / name
        if not place.exists():
            recipe = midclass.Recipe.from_dict(yaml.safe_load(RECIPE))
            images = discs()
            given = midclass.prepare_array(images, recipe)
            cls = detector_class("pca" if name == "folds" else name)
            cls(recipe).fit(given, max_fpr=0.2, folds=folds).save(place)
        signed = {file.name: file.read_bytes() for file in sorted(place.iterdir())}
        about = json.loads(signed["detector.json"])
        about.pop("sha256", None)
        unsigned = signed | {"detector.json": json.dumps(about, indent=1).encode()}
        for title, files in ((name, signed), (f"{name} unsigned", unsigned)):
            for kind, which in PARTS.items():
                rest = {key: value for key, value in files.items() if key != which}
                yield Seed(kind, title, files[which], rest)
