"""How fast middle classes are made on one core, beside transforms of other libraries.

Run it from the root of a checkout::

    python benchmarks/generation.py [--rounds 7] [--size 128] [--batch 32]

Peers are timed where they are installed (``pip install albumentations torchio``; MONAI comes with
midclass) and named where not. All contenders are warmed up, then take turns, so that a busy machine
slows them alike; a figure is the median over the rounds of CPU time on one thread. Two tables:

* middle classes and peers' transforms, images per second, and the ratio to the median peer;
* what generation (middle classes and nuisance) costs of a training step of each shipped recipe,
  with its budget and network.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import inspect
import pkgutil
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

import midclass.knowledge
from midclass import ImageBatch, InputError, Knowledge, Recipe, prepare
from midclass.cli.app import keep_memory
from midclass.images import anatomy, phantoms
from midclass.knowledge.nuisance import Nuisance
from midclass.preview.phantoms import for_phantoms, phantom_cohort
from midclass.training.loss import loss_of, precision
from midclass.training.middle import LabelledBatch, MiddleClasses
from midclass.training.networks import Network

RECIPES = ("chest_xray", "head_ct", "mammography")
FIELD_MM = 200.0
Job = Callable[[], object]


def operators() -> dict[str, Knowledge]:
    """Every operator of the package with its defaults: a new file is found without an edit."""
    found = {}
    for module in pkgutil.iter_modules(midclass.knowledge.__path__):
        loaded = importlib.import_module(f"midclass.knowledge.{module.name}")
        for name, cls in inspect.getmembers(loaded, inspect.isclass):
            own = cls.__module__ == loaded.__name__
            if not own or not issubclass(cls, Knowledge) or inspect.isabstract(cls):
                continue
            if all(has_default(field) for field in dataclasses.fields(cls)):
                found[name] = cls()
    return found


def has_default(field: dataclasses.Field[object]) -> bool:
    """A composition has no defaults: its parts are timed."""
    return not (field.default is field.default_factory is dataclasses.MISSING)


def breasts(n: int, size: int) -> ImageBatch:
    """Phantoms with their anatomy."""
    spacing = FIELD_MM / size
    pixels = phantoms.make("breast", n, seed=0, size=size)[:, None]
    masks = [anatomy.breast(image, (spacing, spacing)) for image in pixels]
    return ImageBatch.of(
        torch.from_numpy(pixels), torch.from_numpy(np.stack(masks))[:, None], spacing
    )


def own_jobs(batch: ImageBatch) -> dict[str, Job]:
    """One call makes one middle class of the whole batch."""
    rng = torch.Generator().manual_seed(0)
    jobs: dict[str, Job] = {}
    for name, operator in operators().items():
        try:
            operator(batch, rng)
        except InputError as error:
            print(f"skipped: {name}: {error}")
            continue
        jobs[f"midclass {name}"] = lambda operator=operator: operator(batch, rng)
    nuisance = Nuisance()
    empty = torch.zeros_like(batch.pixels[:, :1])
    jobs["midclass Nuisance"] = lambda: nuisance.apply(batch, nuisance.draw(batch, rng), empty)
    return jobs


def peer_jobs(batch: ImageBatch) -> dict[str, Job]:
    """One call transforms every image of the batch, one after the other, as these libraries do."""
    jobs: dict[str, Job] = {}
    for peer, make in (
        ("albumentations", _albumentations),
        ("torchio", _torchio),
        ("monai", _monai),
    ):
        try:
            jobs |= {f"{peer} {name}": job for name, job in make(batch)}
        except ImportError as error:
            print(f"skipped: {peer} cannot be imported ({error})")
    return jobs


def _albumentations(batch: ImageBatch) -> Iterator[tuple[str, Job]]:
    import albumentations
    import cv2

    cv2.setNumThreads(1)
    grey = [np.ascontiguousarray(image[0]) for image in batch.pixels.numpy()]
    colour = [np.repeat((255 * image[..., None]).astype(np.uint8), 3, 2) for image in grey]
    for name, images in (
        ("ElasticTransform", grey),
        ("GridDistortion", grey),
        ("GaussNoise", grey),
        ("RandomFog", colour),  # weather wants 8-bit colour
        ("RandomSunFlare", colour),
        ("RandomShadow", colour),
    ):
        transform = getattr(albumentations, name)(p=1.0)
        yield name, lambda t=transform, images=images: [t(image=image)["image"] for image in images]


def _torchio(batch: ImageBatch) -> Iterator[tuple[str, Job]]:
    import torchio

    images = list(batch.pixels.unsqueeze(-1))  # (c, h, w, 1)
    for name in ("RandomElasticDeformation", "RandomBiasField", "RandomGhosting"):
        planar = {"locked_borders": 0} if name == "RandomElasticDeformation" else {}
        transform = getattr(torchio, name)(**planar)
        yield name, lambda t=transform: [t(image) for image in images]


def _monai(batch: ImageBatch) -> Iterator[tuple[str, Job]]:
    from monai import transforms

    images = list(batch.pixels)
    for transform in (
        transforms.Rand2DElastic(spacing=(20, 20), magnitude_range=(1, 2), prob=1.0),
        transforms.RandBiasField(prob=1.0),
        transforms.RandGridDistortion(prob=1.0),
    ):
        yield type(transform).__name__, lambda t=transform: [t(image) for image in images]


def medians(jobs: dict[str, Job], rounds: int) -> dict[str, float]:
    """Seconds of CPU time of each job, taking turns."""
    taken: dict[str, list[float]] = {name: [] for name in jobs}
    for number in range(rounds + 1):
        for name, job in jobs.items():
            began = time.process_time()
            job()
            if number:  # the first warms up
                taken[name].append(time.process_time() - began)
    return {name: statistics.median(times) for name, times in taken.items()}


def generation(batch: ImageBatch, rounds: int) -> None:
    """Print the first table."""
    own, peers = own_jobs(batch), peer_jobs(batch)
    seconds = medians(own | peers, rounds)
    rates = {name: len(batch) / max(taken, 1e-9) for name, taken in seconds.items()}
    usual = statistics.median([rates[name] for name in peers]) if peers else float("nan")
    print(f"\n{'one core, ' + ' x '.join(map(str, batch.spatial)):<42}{'images/s':>10}{'ratio':>8}")
    for group in (own, peers):
        for name in sorted(group, key=lambda name: -rates[name]):
            print(f"{name:<42}{rates[name]:>10.0f}{rates[name] / usual:>8.2f}")
    print("ratio: to the median of the peers' transforms\n")


def steps(size: int, rounds: int, batch: int | None) -> None:
    """Print the second table."""
    jobs: dict[str, Job] = {}
    for name in RECIPES:
        recipe = Recipe.load(name).to_dict()
        recipe["geometry"]["size"] = [size, size]
        if batch is not None:
            recipe["budget"]["batch"] = batch
        make, learn = _step(Recipe.from_dict(recipe))
        jobs |= {f"{name} make": make, f"{name} learn": learn}
    taken = medians(jobs, rounds)
    print(
        f"{'a training step':<20}{'generation ms':>15}{'network ms':>12}{'share of the step':>20}"
    )
    for name in RECIPES:
        make_s, learn_s = taken[f"{name} make"], taken[f"{name} learn"]
        share = make_s / (make_s + learn_s)
        print(f"{name:<20}{1000 * make_s:>15.0f}{1000 * learn_s:>12.0f}{share:>20.1%}")


def _step(recipe: Recipe) -> tuple[Job, Job]:
    """The two halves of a training step: making the labelled batch, and learning from it."""
    budget = recipe.budget
    classes = MiddleClasses(
        recipe.operators(), recipe.nuisance_operator(), recipe.sham, recipe.floor
    )
    given = _phantoms(recipe, budget.batch)
    rng = torch.Generator().manual_seed(0)
    labelled: LabelledBatch = classes(given, rng)
    network = Network(
        len(classes.names), 1, 2, budget.width, budget.blocks, budget.standardise, "inside"
    ).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=budget.learning_rate)

    def learn() -> None:
        with precision(torch.device("cpu")):
            output = network(labelled.images.pixels, labelled.images.anatomy)
        loss = loss_of(output, labelled, budget)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()

    return lambda: classes(given, rng), learn


def _phantoms(recipe: Recipe, n: int) -> ImageBatch:
    with (
        TemporaryDirectory() as cache,
        phantom_cohort(recipe, n + n // 2, seed=0) as cohort,  # some show no anatomy
    ):
        prepared = prepare(cohort, for_phantoms(recipe), cache=Path(cache))
        return prepared.batch(np.flatnonzero(prepared.assessable)[:n])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=None, help="by default the recipe's")
    given = parser.parse_args()
    torch.set_num_threads(1)
    keep_memory()  # as the commands do
    generation(breasts(given.batch or 32, given.size), given.rounds)
    steps(given.size, given.rounds, given.batch)


if __name__ == "__main__":
    main()
