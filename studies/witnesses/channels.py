"""Neighbours as channels: does a network see more of blood that goes through three slices?

python studies/witnesses/channels.py --data ../shared/data

No label of the disease enters. The method's own network learns from normal slices of CT-ICH, at the
recipe's budget: one sees a slice (the recipe's operators draw in it), one sees it between its two
neighbours as three channels (the operators draw in 3-D through all three; what does not show in the
middle has no weight). Then lesions in 3-D go through the slices of held-out patients. Writes
``channels.csv``: the AUROC of slices that show one against the same patients' slices without it,
each alone and with the scores of its neighbours. The head is not cropped, so that slices lie on
each other.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from midclass import Case, Cohort, ImageBatch, Lesson, Prepared, Recipe, prepare
from midclass.detectors.context import Context
from midclass.detectors.image_scores import Combination, log_odds, top_change
from midclass.detectors.parts import parted
from midclass.evaluation.metrics import auroc
from midclass.evaluation.ranking import FloatArray
from midclass.files import new_text
from midclass.knowledge.base import Knowledge
from midclass.knowledge.crescent import Crescent
from midclass.knowledge.filling import Filling
from midclass.knowledge.focal import Focal
from midclass.training.loop import train
from midclass.training.loss import loss_of, precision
from midclass.training.middle import LabelledBatch, with_shams
from midclass.training.networks import Network, seeded

HERE = Path(__file__).resolve().parent
REPEATS, TIMES = 2, 6
APART_MM, AT_ONCE = 5.0, 32
SHOWS = 0.5
"""A slice in which the change reaches this shows the lesion."""
LESIONS: Mapping[str, Knowledge] = {
    "ball": Focal(sign="bright", diameter_mm=(8, 50)),
    "small ball": Focal(sign="bright", diameter_mm=(5, 12)),
    "crescent": Crescent(sign="bright"),
    "filling": Filling(),  # in no recipe
}


@dataclass(frozen=True)
class Pile:
    """All slices of one patient, in order.

    Attributes:
        cases: of the slices that can be assessed.
        images: of all slices.
        shown: bool ``(d,)``: whether a slice can be assessed.
    """

    cases: tuple[Case, ...]
    images: ImageBatch
    shown: Tensor

    @classmethod
    def of_all(cls, prepared: Prepared, least_mm2: float) -> Iterator[Pile]:
        """Those of every patient who has a slice that can be assessed."""
        cases = [prepared.cases.cases[index] for index in prepared.case_index]
        for patient in sorted({case.patient_id for case in cases}):
            mine = [k for k, case in enumerate(cases) if case.patient_id == patient]
            mine.sort(key=lambda k: cases[k].slice or 0.0)
            shown = prepared.anatomy_mm2[mine] > least_mm2
            if shown.any():
                assessed = tuple(cases[k] for k, one in zip(mine, shown, strict=True) if one)
                yield cls(assessed, prepared.batch(mine), torch.from_numpy(shown))

    def between(self) -> ImageBatch:
        """Each slice that can be assessed between its neighbours: ``(n, c, 3, h, w)``."""
        here = self.shown.nonzero().squeeze(1)
        three = torch.stack([here - 1, here, here + 1], 1).clamp(0, len(self.shown) - 1)
        spacing = self.images.spacing_mm[here]
        return ImageBatch(
            self.images.pixels[three].transpose(1, 2),
            self.images.anatomy[three].transpose(1, 2),
            torch.cat([torch.full((len(here), 1), APART_MM), spacing], 1),
        )

    def with_lesion(self, lesion: Knowledge, rng: torch.Generator) -> tuple[Pile, Tensor]:
        """One drawn where slices can be assessed, and which of these show it."""
        first, last = (int(self.shown.nonzero()[end]) for end in (0, -1))
        part = slice(first, last + 1)
        spacing = torch.tensor([[APART_MM, *self.images.spacing_mm.mean(0).tolist()]])
        pixels, anatomy = self.images.pixels[part], self.images.anatomy[part]
        volume = ImageBatch(pixels.transpose(0, 1)[None], anatomy.transpose(0, 1)[None], spacing)
        middle = lesion(volume, rng)
        drawn = self.images.pixels.clone()
        drawn[part] = middle.pixels[0].transpose(0, 1)
        reached = torch.zeros(len(drawn))
        reached[part] = middle.change[0, 0].flatten(1).amax(1)
        pile = Pile(self.cases, self.images.with_pixels(drawn), self.shown)
        return pile, (reached > SHOWS)[self.shown]


def alone(images: ImageBatch) -> ImageBatch:
    """The slice in the middle: ``(n, c, h, w)``."""
    middle = images.pixels.shape[2] // 2
    return ImageBatch(
        images.pixels[:, :, middle], images.anatomy[:, :, middle], images.spacing_mm[:, 1:]
    )


def as_channels(images: ImageBatch) -> ImageBatch:
    """All three as channels, with the anatomy of the middle."""
    return alone(images).with_pixels(images.pixels.flatten(1, 2))


Form = Callable[[ImageBatch], ImageBatch]
FORMS: Mapping[str, tuple[Form, Form]] = {
    "slice": (alone, lambda images: images),
    "three slices": (lambda images: images, as_channels),
}
"""Of slices between neighbours: what is drawn in, and what the network sees of it."""


def labelled(recipe: Recipe, form: str, images: ImageBatch, rng: torch.Generator) -> LabelledBatch:
    """Slices and middle classes of them, seen through the nuisance; see ``MiddleClasses``."""
    drawn_in, seen = FORMS[form]
    operators, nuisance = list(recipe.operators().values()), recipe.nuisance_operator()
    assert nuisance is not None
    given = drawn_in(images)
    label = (torch.arange(len(given)) % len(operators) + 1).sort().values
    normals, middles, changes = list[Tensor](), list[Tensor](), list[Tensor]()
    for number, operator in enumerate(operators, start=1):
        part = given[label == number]
        params = operator.draw(part, rng)
        middle = operator.apply(part, params)
        normals.append(with_shams(part, operator, params, recipe.sham, rng))
        middles.append(middle.pixels)
        changes.append(middle.change)
    pairs = [seen(given.with_pixels(torch.cat(pixels))) for pixels in (normals, middles)]
    change = torch.cat(changes)
    if change.ndim == 5:  # of three slices: what shows in the middle counts
        change = change[:, :, change.shape[2] // 2]
    batch, change = ImageBatch.joined(pairs), torch.cat([torch.zeros_like(change), change])
    batch, change = nuisance.apply(batch, nuisance.draw(batch, rng), change)
    label, reached = torch.cat([0 * label, label]), change.flatten(1).amax(1)
    weight = ((label == 0) | (reached > SHOWS)).float()
    return LabelledBatch(batch, label, change, reached, weight)


def learned(recipe: Recipe, form: str, given: Prepared, piles: list[Pile], seed: int) -> Network:
    """A network that sees slices in that form."""
    budget, slices = recipe.budget, [pile.between() for pile in piles]
    images, classes = ImageBatch.joined(slices), len(recipe.operators()) + 1
    channels = FORMS[form][1](FORMS[form][0](images[:1])).pixels.shape[1]
    network = seeded(lambda: Network.of_budget(budget, classes, channels, 2), seed)

    def loss(network: nn.Module, rng: torch.Generator) -> Tensor:
        drawn = torch.randint(len(images), (budget.batch,), generator=rng)
        batch = labelled(recipe, form, images[drawn], rng)
        with precision(batch.label.device):
            output = network(batch.images.pixels)
        return loss_of(output, batch, budget)

    states = train(network, loss, lambda _: 0.0, budget, Lesson(given, given, seed))[1]
    network.load_state_dict(states[-1])
    return network.eval()


@torch.inference_mode()
def raw(network: Network, form: str, pile: Pile) -> FloatArray:
    """Log-odds and top of the change map of the slices that can be assessed: ``(n, 2)``."""
    drawn_in, seen = FORMS[form]
    found = list[Tensor]()
    for part in seen(drawn_in(pile.between())).split(AT_ONCE):
        output = network(part.pixels)
        both = log_odds(output.logits), top_change(output.change, part.anatomy)
        found.append(torch.stack(both, 1).double())
    return torch.cat(found).numpy()


def areas(
    network: Network, form: str, recipe: Recipe, piles: list[Pile], held_out: list[Pile]
) -> Iterator[tuple[str, int, float, float]]:
    """By lesion: how many slices show it; AUROC of slices alone and with their neighbours."""
    normal = np.concatenate([raw(network, form, pile) for pile in piles])
    units = Combination.of(normal, ("log_odds", "change"))
    cases = [case for pile in piles for case in pile.cases]
    context = Context.of(units(normal), cases, recipe.geometry)

    def both(pile: Pile, rows: Tensor | slice = slice(None)) -> FloatArray:
        scores = units(raw(network, form, pile))
        return np.stack([scores, context(scores, pile.cases)], 1)[rows]

    without = np.concatenate([both(pile) for pile in held_out])
    for name, lesion in LESIONS.items():
        rng, shown = torch.Generator().manual_seed(0), list[FloatArray]()
        for pile in held_out * TIMES:
            ill, rows = pile.with_lesion(lesion, rng)
            shown.append(both(ill, rows))
        scores = np.concatenate([without, *shown])
        truth = (np.arange(len(scores)) >= len(without)).astype(np.int64)
        yield name, int(truth.sum()), auroc(truth, scores[:, 0]), auroc(truth, scores[:, 1])


def main() -> int:
    """Learn in both forms, draw, score, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    data: Path = parser.parse_args().data
    torch.set_num_threads(1)
    fields, rows = Recipe.load("head_ct").to_dict(), list[list[object]]()
    del fields["geometry"]["crop"]
    recipe = Recipe.from_dict(fields)
    for repeat in range(REPEATS):
        split = f"splits.csv:repeat_{repeat}"
        cohort = Cohort.from_manifest(data / "ct_ich/manifest.csv", split).part("train")
        given = prepare(cohort.given_class(), recipe)
        parts = parted(given.cases.by_case_id(), set(), repeat)
        least_mm2 = recipe.geometry.least_anatomy_mm2
        train_on, normal, held_out = (
            list(Pile.of_all(given.subset(parts[name]), least_mm2))
            for name in ("train", "select", "calibrate")
        )
        for form in FORMS:
            network = learned(recipe, form, given, train_on, repeat)
            for name, shown, *found in areas(network, form, recipe, normal, held_out):
                rows.append([repeat, form, name, shown, *(f"{area:.4f}" for area in found)])
    with new_text(HERE / "channels.csv") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["repeat", "network sees", "lesion", "shown", "alone", "with neighbours"])
        writer.writerows(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
