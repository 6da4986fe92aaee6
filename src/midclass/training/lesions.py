"""Lesions of known cases: cut out by the change map, and put into images of the given class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn

from midclass.evaluation.metrics import auroc
from midclass.images.anatomy.regions import Mask, largest
from midclass.knowledge import _fields as fields
from midclass.knowledge._box import Box
from midclass.knowledge._visibility import severity
from midclass.training.heads import KnowledgeNetworks
from midclass.training.lesson import LearningImages
from midclass.training.middle import LabelledBatch
from midclass.training.networks import Network
from midclass.types import ImageBatch

USUAL = 0.9
"""Share of images of the given class in which a change map has a lower top than in a lesion."""
LEAST_AUROC = 0.8
"""Of the tops of change maps of known cases beside those of the given class."""
COMPARED = 128
"""Images of the given class that are looked at for that, at most."""
LARGEST = 0.4
"""Share of the anatomy beyond which what is marked is no lesion that can be moved."""
TOP = 0.999
"""Quantile of a change map that is its top: one sample alone is none."""
EDGE, RING = 1.0, 4
"""Samples over which a lesion fades out, and around it those whose mean is its tissue's level."""
FAINT = 0.02
"""A share below this is no lesion."""
SCALE = (0.7, 1.4)
"""How much smaller or larger it is put in."""


@dataclass(frozen=True)
class Lesions:
    """m lesions, in the images that show them.

    A handful of known cases shows a disease in a handful of places. What a network that has learned
    the recipe marks in them is tissue of that disease, and looks like it anywhere else in the organ
    (copy-paste augmentation: Ghiasi et al., CVPR 2021; of lesions: Yang et al., CarveMix, MICCAI
    2021). Settings are ours, see docs/research-log.md.

    Attributes:
        images: target-class images, m of them.
        share: float32 ``(m, 1, *spatial)``, how much of each sample is lesion.
        around: float32 ``(m, c)``, mean of the tissue beside it.

    >>> images = ImageBatch.of(torch.full((1, 1, 32, 32), 0.4))
    >>> images.pixels[..., 10:14, 20:26] = 0.9
    >>> lesions = Lesions(images, (images.pixels > 0.5).float(), torch.tensor([[0.4]]))
    >>> given = ImageBatch.of(torch.full((3, 1, 32, 32), 0.2))
    >>> made, share = lesions.put_into(given, torch.Generator().manual_seed(0))
    >>> round(float(made.pixels.amax()), 2), bool((share.flatten(1).sum(1) > 4).all())
    (0.7, True)
    """

    images: ImageBatch
    share: Tensor
    around: Tensor

    @classmethod
    @torch.no_grad()
    def cut(cls, network: Network, known: LearningImages, given: LearningImages) -> Lesions | None:
        """What a network marks in known cases, or None where it marks nothing unusual.

        The largest part above half of the map's top, of cases whose top is unusual in the given
        class: of others it would be what normal images show, too. A map whose top does not tell
        known cases from those of the given class marks no disease, and nothing is cut out by it.

        Args:
            network: in evaluation mode, in the middle of its training.
            known: target-class images.
            given: given-class images.
        """
        normal, ill = (
            images.collect(lambda batch: _tops(_marked(network, batch), batch))
            for images in (given.spread(COMPARED), known)
        )
        every, label = torch.cat([normal, ill]).numpy(), np.repeat([0, 1], [len(normal), len(ill)])
        if not np.isfinite(every).all() or not np.ptp(every) or auroc(label, every) < LEAST_AUROC:
            return None
        usual = normal.quantile(USUAL)
        found: list[tuple[ImageBatch, Tensor, Tensor]] = []
        for part in known.batches():
            marked = _marked(network, part)
            tops, marked = _tops(marked, part), marked.cpu()
            for k in (tops > usual).nonzero()[:, 0].tolist():
                one = part[k : k + 1]
                share = _largest_part(marked[k, 0], float(tops[k]), one.anatomy[0, 0].cpu())
                beside = _beside(share).to(one.anatomy.device) & one.anatomy[0, 0]
                if share.any() and beside.any():
                    found.append((one, share, one.pixels[0][:, beside].mean(1)))
        if not found:
            return None
        images, shares, around = zip(*found, strict=True)
        share = torch.stack(shares).unsqueeze(1).to(known.device)
        return cls(ImageBatch.joined(images), share, torch.stack(around))

    def put_into(self, batch: ImageBatch, rng: torch.Generator) -> tuple[ImageBatch, Tensor]:
        """The images with a lesion each, somewhere in the anatomy.

        It is turned, mirrored, scaled, and brought to the level of the tissue in its new place.

        Args:
            batch: n given-class images.
            rng: CPU generator.

        Returns:
            The images, and how much of every sample is lesion: ``(n, 1, *spatial)``.
        """
        n, dims = batch.spacing_mm.shape
        which = torch.randint(len(self.share), (n,), generator=rng).to(self.share.device)
        source, share = self.images[which], self.share[which]
        whole = Box.whole(source)
        here = whole.away_mm(torch.zeros_like(source.spacing_mm))
        place = fields.centre_of(batch, torch.rand(n, 1, generator=rng), None)
        turn = fields.rotation(rng, n, dims)
        scale = fields.log_uniform(rng, n, SCALE).unsqueeze(1).expand(n, dims)
        away = fields.lesion_frame(Box.whole(batch).away_mm(place), scale, turn)
        anchor = _anchor_mm(source, share)
        shift = [
            part + fields.column(anchor[:, axis], part) - here[axis]
            for axis, part in enumerate(away)
        ]
        grid = fields.shifted_grid(whole, shift)
        share = fields.sample(share, grid, "zeros") * batch.anatomy
        tissue = fields.sample(source.pixels, grid)
        axes = tuple(range(2, tissue.ndim))
        level = (batch.pixels * share).sum(axes) / share.sum(axes).clamp_min(1e-6)
        change = (level - self.around[which]).view(*level.shape, *(1,) * dims)
        new = (tissue + change).clamp(0, 1)
        return batch.with_pixels(torch.lerp(batch.pixels, new, share.expand_as(new))), share


@dataclass
class KnownClass:
    """What a network learns of known cases: these, and in time their lesions in normal images.

    Attributes:
        known: target-class images.
        given: given-class images.
        floor: least severity at which a moved lesion counts, as for middle classes.
        lesions: none until a network has been watched that marks some.
    """

    known: LearningImages
    given: LearningImages
    floor: float = 0.0
    lesions: Lesions | None = None

    def watch(self, networks: nn.Module) -> None:
        """Cut lesions out by what the own network marks, which has learned for a while."""
        assert isinstance(networks, KnowledgeNetworks)
        self.lesions = Lesions.cut(networks.own, self.known, self.given)

    def added_to(
        self, batch: LabelledBatch, n: int, label: int, rng: torch.Generator
    ) -> LabelledBatch:
        """The batch with n known cases, and up to as many given-class images with a lesion."""
        batch = batch.with_positives(self.known.draw_acquired(n, rng), label)
        if self.lesions is None:
            return batch
        before = self.given.draw(n, rng)
        images, change = self.lesions.put_into(before, rng)
        seen = severity(before, images.pixels, change) >= self.floor
        images, change = images[seen], change[seen]
        if not len(images):  # some lie where they cannot be seen
            return batch
        nuisance = self.given.nuisance
        if nuisance is not None:
            images, change = nuisance.apply(images, nuisance.draw(images, rng), change)
        return batch.with_positives(images, label, change)


def _anchor_mm(batch: ImageBatch, share: Tensor) -> Tensor:
    """The sample of each lesion nearest to its middle, in which a ring has none: ``(n, d)``."""
    here = Box.whole(batch).away_mm(torch.zeros_like(batch.spacing_mm))
    mass = share.flatten(1).sum(1)
    middle = [fields.column((share * part).flatten(1).sum(1) / mass, part) for part in here]
    far = fields.total([(h - m).square() for h, m in zip(here, middle, strict=True)])
    index = far.masked_fill(share < 0.5, torch.inf).flatten(1).argmin(1)
    return fields.in_mm(batch, torch.stack(torch.unravel_index(index, batch.spatial), -1))


def _marked(network: Network, batch: ImageBatch) -> Tensor:
    """The change map inside the anatomy: ``(n, 1, *spatial)`` in [0, 1]."""
    change: Tensor = network(batch.pixels, batch.anatomy).change
    return change.float().sigmoid() * batch.anatomy


def _tops(marked: Tensor, batch: ImageBatch) -> Tensor:
    """Of every image what its change map hardly exceeds: ``(n,)``, NaN without an anatomy."""
    maps, inside = marked.cpu().numpy(), batch.anatomy.cpu().numpy()
    tops = [
        np.quantile(one[there], TOP) if there.any() else np.nan
        for one, there in zip(maps, inside, strict=True)
    ]
    return torch.tensor(tops, dtype=torch.float64)


def _largest_part(marked: Tensor, top: float, anatomy: Tensor) -> Tensor:
    """The largest connected part above half of the top, and its edge; 0 if it is too large."""
    part: Mask = largest((marked > top / 2).numpy())
    if part.sum() > LARGEST * float(anatomy.sum()):
        part = np.zeros_like(part)
    whole = part.astype(np.float32)
    soft: NDArray[np.float32] = np.maximum(whole, ndimage.gaussian_filter(whole, EDGE))
    return torch.from_numpy(soft * (soft > FAINT)) * anatomy


def _beside(share: Tensor) -> Tensor:
    """What lies around a lesion: bool ``(*spatial)``."""
    lesion = share.numpy() > 0
    return torch.from_numpy(ndimage.binary_dilation(lesion, iterations=RING) & ~lesion)
