"""Losses: how wrong the method's network is on a labelled batch."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional

from midclass.errors import InputError
from midclass.recipe.budget import Budget
from midclass.training.middle import LabelledBatch
from midclass.training.networks import Output

DICE = 0.5
"""Weight of the Dice loss beside the cross-entropy of a map."""


def loss_of(output: Output, batch: LabelledBatch, budget: Budget) -> Tensor:
    """Cross-entropy of the class plus, for the change map, binary cross-entropy and Dice loss."""
    entropy = functional.cross_entropy(
        output.logits.float(), batch.label, reduction="none", label_smoothing=budget.label_smoothing
    )
    share = batch.weight / batch.weight.sum()
    mapped = batch.weight if batch.mapped is None else batch.weight * batch.mapped
    logits = output.change.float().flatten(1)
    target = batch.change.flatten(1)
    pixelwise = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    marked = logits.sigmoid() * mapped.unsqueeze(1)
    change = (pixelwise.mean(1) * (mapped / mapped.sum())).sum() + DICE * dice_loss(marked, target)
    return (entropy * share).sum() + budget.map_weight * change


def dice_loss(marked: Tensor, target: Tensor) -> Tensor:
    """One minus the Dice overlap of a map in [0, 1] and its target, over the whole batch.

    It keeps small changes from being outvoted by the background (Milletari et al., 3DV 2016).

    >>> marked, target = torch.tensor([1.0, 1.0, 0.0]), torch.tensor([0.0, 1.0, 1.0])
    >>> round(float(dice_loss(marked, target)), 2)
    0.4
    """
    return 1 - (2 * (marked * target).sum() + 1) / ((marked + target).sum() + 1)


def precision(device: torch.device) -> AbstractContextManager[object]:
    """bfloat16 where the processor computes in it, else float32.

    A processor without bfloat16 instructions emulates them, ten times slower than float32.
    """
    wanted = os.environ.get("MIDCLASS_PRECISION", "auto")
    if wanted not in ("auto", "float32", "bfloat16"):
        raise InputError(f"MIDCLASS_PRECISION is {wanted!r}; use auto, float32 or bfloat16")
    on_cpu = torch.ops.mkldnn._is_mkldnn_bf16_supported
    able = torch.cuda.is_bf16_supported if device.type == "cuda" else on_cpu
    if wanted == "bfloat16" or (wanted == "auto" and able()):
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()


def batch_loss(networks: nn.Module, batch: LabelledBatch, budget: Budget) -> Tensor:
    """``loss_of`` what each of ``KnowledgeNetworks`` says of the batch, together."""
    with precision(batch.label.device):
        outputs = networks(batch.images)
    return torch.stack([loss_of(output, batch, budget) for output in outputs]).sum()
