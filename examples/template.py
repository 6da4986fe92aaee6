"""A detector of one's own: how far each pixel is from what it is in the given class."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from midclass import Detector, ImageBatch, Lesson

TOP = 0.01
"""Share of the pixels that make the score: a lesion is small."""


class Template(Detector):
    """Deviation from the mean image of the given class, in standard deviations of each pixel.

    Statistical parametric mapping in its simplest form (Friston et al., Human Brain Mapping 2:189,
    1994), without smoothing.
    """

    def learn(self, lesson: Lesson) -> None:
        """Mean and standard deviation of every pixel; nothing to choose on ``select``."""
        images = self.images(lesson.train).collect(lambda batch: batch.pixels)  # (n, c, h, w)
        self.mean_, self.std_ = images.mean(0), images.std(0).clamp_min(0.01)

    def score(self, images: ImageBatch) -> tuple[Tensor, Tensor]:
        """Mean of the highest deviations inside the anatomy, and where they are."""
        apart = (images.pixels.cpu() - self.mean_).abs() / self.std_
        deviation = (apart * images.anatomy.cpu()).amax(1, keepdim=True)  # (n, 1, h, w)
        flat = deviation.flatten(1)
        highest = flat.topk(max(1, round(TOP * flat.shape[1]))).values
        return highest.mean(1), deviation / (3 + deviation)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and plain facts: what is saved."""
        return {"mean": self.mean_, "std": self.std_}, {}

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Take back what ``state`` gave."""
        self.mean_, self.std_ = tensors["mean"], tensors["std"]
