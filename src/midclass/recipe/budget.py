"""Budget: how long, how fast and how large a network is trained."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Budget(BaseModel):
    """The training budget of a recipe; every detector of a study gets the same.

    Each number has a largest value, far above what makes sense, so that a slip of the keyboard
    (steps 1e21) is told at once.

    Attributes:
        steps: batches in all.
        batch: given-class images per step; as many middle-class images are added.
        learning_rate: the highest one, of AdamW with a one-cycle schedule.
        weight_decay: of AdamW.
        ema: decay of the moving average of the weights, which is what is kept.
        label_smoothing: share of the label that is spread over all classes.
        map_weight: weight of the change-map loss against the class loss.
        checkpoints: how many states are kept to choose from without labels.
        width: channels of the network's first stage; a multiple of 8, because the vectorised
            convolution of torch 2.13 (CPU, channels last) corrupts memory with fewer.
        blocks: residual blocks per stage.
        pretrained: file with the weights of a ResNet-18 or an EfficientNet-Lite0, for the detectors
            that compare features (nearest_neighbour, mahalanobis); the others train their own
            network.
        standardise: each image gets mean 0 and variance 1 before a network, or another detector,
            looks at it.

    >>> Budget(steps=300).steps, Budget().batch
    (300, 32)
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int = Field(default=300, gt=0, le=10_000_000)
    batch: int = Field(default=32, gt=0, le=4096)
    learning_rate: float = Field(default=6e-3, gt=0, le=1)
    weight_decay: float = Field(default=0.05, ge=0, le=1)
    ema: float = Field(default=0.98, ge=0, lt=1)
    label_smoothing: float = Field(default=0.05, ge=0, lt=1)
    map_weight: float = Field(default=1.0, ge=0, le=1e6)
    checkpoints: int = Field(default=4, gt=0, le=1000)
    width: int = Field(default=16, gt=0, le=1024, multiple_of=8)
    blocks: int = Field(default=1, gt=0, le=64)
    pretrained: str | None = None
    standardise: bool = True
