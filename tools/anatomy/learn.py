"""Learn an anatomy: a small network gets the masks of a rule, and must find them in any image.

    python tools/anatomy/learn.py intracranial ../shared/data/ct_ich/manifest.csv
    python tools/anatomy/learn.py lungs ../shared/data/kermany_cxr/manifest.csv

The images are of patients without the disease, in the window for which the rule was made. Each is
then shown changed: lesions are put into it, brighter than bone or as dark as air, while the mask
stays that of the untouched image; it is turned, scaled, cropped, put into another window, blurred,
and written on. One image in four is a generated phantom. Patients held out of learning say how well
the network agrees with the rule. Ten to twenty minutes on two
cores; the same seed gives the same weights on the same machine.
"""

from __future__ import annotations

import argparse
import csv
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage as ndi
from torch import Tensor, nn
from torch.nn import functional

from midclass.images import phantoms
from midclass.images.anatomy.base import Pixels
from midclass.images.anatomy.chest_xray import lungs_by_template
from midclass.images.anatomy.head_ct import intracranial_by_bone
from midclass.images.anatomy.learned import (
    MARGIN,
    SIDE,
    WEIGHTS,
    cut_out,
    mask_network,
    scaled,
    square_around,
)
from midclass.images.anatomy.regions import Mask
from midclass.knowledge.base import Knowledge
from midclass.knowledge.crescent import Crescent
from midclass.knowledge.fluid import Fluid
from midclass.knowledge.focal import Focal
from midclass.knowledge.mass_effect import MassEffect
from midclass.knowledge.opacity import Opacity
from midclass.knowledge.rim import Rim
from midclass.training.loss import precision
from midclass.types import ImageBatch

BATCH = 16
RATE = 3e-3
ROOM = 0.06
"""More than that margin here, from which shifts and scales are cut."""


@dataclass(frozen=True)
class Organ:
    """What there is to learn.

    Attributes:
        rule: finds the mask where image and window are as it wants them.
        width_mm: assumed width of an image of the collection, and of a phantom.
        healthy: columns and values of the manifest's rows that are taken: whole patients.
        least_mm2: smaller parts of a mask are not the organ.
        phantom: kind of the phantoms.
        disease: what is put in; anything that may be there must not move the mask.
    """

    rule: Callable[[Pixels, tuple[float, float]], Mask]
    width_mm: float
    healthy: dict[str, str]
    least_mm2: float
    phantom: str
    disease: tuple[Knowledge, ...]


ORGANS = {
    "intracranial": Organ(
        intracranial_by_bone,
        width_mm=235,
        healthy={"patient_label": "0"},
        least_mm2=1500,
        phantom="head",
        disease=(
            Focal(diameter_mm=(8, 80), contrast_sigma=(2, 14)),
            Focal(sign="dark", diameter_mm=(8, 90), contrast_sigma=(2, 8)),
            Crescent(thickness_mm=(4, 30), contrast_sigma=(2, 14)),
            Crescent(shape="lens", thickness_mm=(10, 40), contrast_sigma=(6, 20)),
            Crescent(sign="dark", thickness_mm=(4, 30), contrast_sigma=(2, 8)),
            MassEffect(),
            Rim(),
        ),
    ),
    "lungs": Organ(
        lungs_by_template,
        width_mm=300,
        healthy={"label": "0", "split": "train"},
        least_mm2=1500,
        phantom="chest",
        disease=(
            Opacity(share=(0.05, 0.9), strength=(0.3, 1.0)),
            Opacity(share=(0.3, 0.95), strength=(0.5, 1.0), patch_mm=(60, 150)),
            Fluid(),
            Focal(diameter_mm=(8, 80), contrast_sigma=(2, 14)),
            Focal(sign="dark", diameter_mm=(8, 90), contrast_sigma=(2, 8)),
            MassEffect(),
            Rim(),
        ),
    ),
}


def main() -> int:
    """Learn, say how well, and write the weights."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("organ", choices=list(ORGANS))
    options.add_argument("manifest", type=Path)
    options.add_argument("--steps", type=int, default=2000)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--out", type=Path, default=WEIGHTS)
    chosen = options.parse_args()
    images, masks, patients = examples(ORGANS[chosen.organ], chosen.manifest, chosen.seed)
    held_out = np.isin(patients, np.unique(patients)[::6])
    network = learn(
        images[~held_out], masks[~held_out], ORGANS[chosen.organ], chosen.steps, chosen.seed
    )
    overlaps = agreement(network, images[held_out], masks[held_out])
    print(
        f"{held_out.sum()} images of held-out patients: mean Dice {overlaps.mean():.3f}, "
        f"{np.mean(overlaps > 0.9):.1%} above .9"
    )
    write(network, chosen.out / f"{chosen.organ}.safetensors")
    return 0


def examples(
    organ: Organ, manifest: Path, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.str_]]:
    """Squares of images ``(n, SIDE, SIDE)``, the masks of the rule, and patients ``(n,)``."""
    with open(manifest, newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if organ.healthy.items() <= row.items()]
    found = [
        (np.asarray(Image.open(manifest.parent / row["path"]).convert("L"), np.float32) / 255, row)
        for row in rows
    ]
    named = [(pixels, row["patient_id"]) for pixels, row in found]
    generated = phantoms.make(organ.phantom, len(rows) // 3, seed, size=160)
    named += [(pixels, f"phantom {i}") for i, pixels in enumerate(generated)]
    squares = []
    for pixels, patient in named:
        spacing = organ.width_mm / max(pixels.shape)
        box = square_around(pixels, (spacing, spacing), MARGIN + ROOM)
        if box is None:
            continue
        mask = cleaned(organ.rule(pixels[None], (spacing, spacing)), organ.least_mm2, spacing)
        squares.append(
            (cut_out(pixels, box), cut_out(mask.astype(np.float32), box) >= 0.5, patient)
        )
    images, masks, patients = zip(*squares, strict=True)
    return np.stack(images), np.stack(masks), np.array(patients)


def cleaned(mask: Mask, least_mm2: float, spacing_mm: float) -> Mask:
    """What a rule found without small parts; its holes are bone, and stay."""
    labels, _ = ndi.label(mask)
    large = np.bincount(labels.ravel()) * spacing_mm**2 >= least_mm2
    large[0] = False
    return np.asarray(large[labels])


def learn(
    images: NDArray[np.float32], masks: NDArray[np.bool_], organ: Organ, steps: int, seed: int
) -> nn.Module:
    """The network after so many steps, its weights averaged over the last hundred or so."""
    torch.manual_seed(seed)
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    network = mask_network()
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    averaging = torch.optim.swa_utils.get_ema_multi_avg_fn(0.99)
    average = torch.optim.swa_utils.AveragedModel(network, multi_avg_fn=averaging)
    for step in range(steps):
        rows = rng.choice(len(images), BATCH)
        batch = torch.from_numpy(images[rows])[:, None]
        target = torch.from_numpy(masks[rows])[:, None]
        shown, target = changed(diseased(batch, target, organ, generator), target, rng, generator)
        with precision(shown.device):
            seen = network(scaled(shown).to(memory_format=torch.channels_last)).float()
        loss = functional.binary_cross_entropy_with_logits(seen, target) + dice_loss(seen, target)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        average.update_parameters(network)
        if step % 100 == 0:
            print(f"step {step}, loss {loss.item():.3f}", flush=True)
    return average.module.eval()


def dice_loss(seen: Tensor, target: Tensor) -> Tensor:
    """One minus the soft Dice overlap of each image, their mean."""
    share, axes = seen.sigmoid(), (1, 2, 3)
    return (1 - (2 * (share * target).sum(axes) + 20) / ((share + target).sum(axes) + 20)).mean()


def diseased(images: Tensor, masks: Tensor, organ: Organ, generator: torch.Generator) -> Tensor:
    """Up to three lesions in most images that show the organ, up to its wall and a little into it.

    Rules leave a rim between organ and wall; blood leaves none.
    """
    rows = torch.nonzero(masks.flatten(1).sum(1) > 400)[:, 0]
    if not len(rows):
        return images
    spacing = organ.width_mm / SIDE
    up_to_wall = functional.max_pool2d(masks[rows].float(), 5, 1, 2) > 0
    some = ImageBatch.of(images[rows], up_to_wall, spacing)
    for _ in range(int(torch.randint(4, (), generator=generator))):
        operator = organ.disease[int(torch.randint(len(organ.disease), (), generator=generator))]
        ill = operator(some, generator).pixels
        chosen = torch.rand(len(rows), 1, 1, 1, generator=generator) < 0.7
        some = some.with_pixels(torch.where(chosen, ill, some.pixels))
    out = images.clone()
    out[rows] = some.pixels
    return out


def changed(
    images: Tensor, masks: Tensor, rng: np.random.Generator, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """The images as another scanner, crop or export shows them; masks move along."""
    n = len(images)

    def between(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(n, 1, 1, 1, generator=generator)

    def sometimes(share: float) -> Tensor:
        return (torch.rand(n, 1, 1, 1, generator=generator) < share).float()

    def smooth(cells: int) -> Tensor:
        coarse = torch.rand(n, 1, cells, cells, generator=generator)
        return functional.interpolate(coarse, size=images.shape[2:], mode="bilinear")

    grid = functional.affine_grid(_turns(n, generator), list(images.shape), align_corners=False)
    images, masks = (
        functional.grid_sample(one, grid, align_corners=False) for one in (images, masks.float())
    )
    bone = (images > 0.97).float() * sometimes(0.5)  # a wider window shows its texture
    images = images - bone * (between(0, 0.35) + 0.1 * smooth(16))
    low = between(-0.15, 0.22) * sometimes(0.7)
    high = 1 + between(-0.35, 0.5) * sometimes(0.7)
    images = ((images - low) / (high - low)).clamp(0, 1)
    images = images ** torch.exp(between(-0.7, 0.7) * sometimes(0.7))
    images = images * (1 + 0.3 * sometimes(0.4) * (smooth(3) - 0.5))
    paper = between(0, 0.3) * sometimes(0.3)
    lifted = paper + (1 - paper) * images
    images = torch.where(sometimes(0.5) > 0, torch.maximum(images, paper), lifted)
    blurred = functional.avg_pool2d(images, 3, 1, 1)
    coarse = functional.interpolate(images, scale_factor=0.5, mode="area")
    coarse = functional.interpolate(coarse, size=images.shape[2:], mode="bilinear")
    way = torch.rand(n, 1, 1, 1, generator=generator)
    images = torch.where(way < 0.25, blurred, torch.where(way < 0.4, coarse, images))
    noise = torch.randn(images.shape, generator=generator)
    images = images + noise * between(0, 0.08) * sometimes(0.6)
    _write_on(images, masks, rng)
    return images.clamp(0, 1), (masks > 0.5).float()


def _turns(n: int, generator: torch.Generator) -> Tensor:
    """Affine maps: turned, mirrored, scaled, stretched and moved, so far that parts are cut off."""

    def around_zero(most: float) -> Tensor:
        return most * (2 * torch.rand(n, generator=generator) - 1)

    angle = around_zero(math.radians(30))
    angle = torch.where(torch.rand(n, generator=generator) < 0.15, 6 * angle, angle)
    scale, stretch = around_zero(0.3).exp(), around_zero(0.12).exp()
    side = torch.where(torch.rand(n, generator=generator) < 0.5, -stretch, stretch)
    first = torch.stack([angle.cos() * scale * side, -angle.sin() * scale, around_zero(0.2)], 1)
    second = torch.stack([angle.sin() * scale * side, angle.cos() * scale, around_zero(0.2)], 1)
    return torch.stack([first, second], 1)


def _write_on(images: Tensor, masks: Tensor, rng: np.random.Generator) -> None:
    """Letters, bars and patches near the upper and lower edge, as screenshots have them."""
    for image, mask in zip(images[:, 0], masks[:, 0], strict=True):
        if rng.random() > 0.3:
            continue
        for _ in range(rng.integers(1, 6)):
            height, width = rng.integers(1, 8), rng.integers(2, 14)
            top = rng.choice([rng.integers(0, 20), rng.integers(SIDE - 20, SIDE - 8)])
            left = rng.integers(0, SIDE - 16)
            where = slice(top, top + height), slice(left, left + width)
            if mask[where].sum() == 0:
                image[where] = rng.choice([1.0, 0.8, 0.0])


def agreement(
    network: nn.Module, images: NDArray[np.float32], masks: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Dice overlap of network and rule on untouched images ``(n,)``; 1 where both see nothing."""
    overlaps = []
    with torch.inference_mode():
        for image, mask in zip(images, masks, strict=True):
            seen = network(scaled(torch.from_numpy(image)[None, None]))[0, 0].numpy() > 0
            overlaps.append((2 * (seen & mask).sum() + 1) / (seen.sum() + mask.sum() + 1))
    return np.array(overlaps)


def write(network: nn.Module, path: Path) -> None:
    """Half precision: a weight needs no more, and the package stays small."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    weights = {name: value.half().contiguous() for name, value in network.state_dict().items()}
    save_file(weights, path)
    print(f"saved: {path} ({path.stat().st_size / 2**20:.2f} MB)")


if __name__ == "__main__":
    sys.exit(main())
