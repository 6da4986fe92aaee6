"""Published: weights from a file of the user's, and the network that they are of.

Nothing is downloaded, and no code of a file is run.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from midclass.errors import InputError
from midclass.files import refuse_no_file
from midclass.training.architectures import DenseNet121, EfficientNetLite0, ResNet18, ResNet50
from midclass.training.pretrained import PretrainedNetwork
from midclass.training.vision_transformer import VisionTransformer

ARCHITECTURES: dict[str, type[PretrainedNetwork]] = {
    one.__name__: one
    for one in (ResNet18, ResNet50, DenseNet121, EfficientNetLite0, VisionTransformer)
}
WRAPPED = ("state_dict", "model_state_dict", "model", "teacher")
"""Under which of these a file of a training keeps the weights, in this order."""
PREFIX = re.compile(
    r"^(module|model|backbone|base_model|image_encoder|vit|dinov2|dinov2_with_registers)\."
)
"""Where the weights are part of something larger."""
ODD = (ValueError, TypeError, RuntimeError)
"""What weights raise that are of an architecture, and of odd shapes."""
LARGEST = 900
"""Megabytes of weights: a saved detector holds them."""


def network_of(settings: Mapping[str, Any]) -> PretrainedNetwork:
    """The network that has these settings, before its weights; raises for others."""
    sizes = dict(settings)
    return ARCHITECTURES[sizes.pop("architecture")](**sizes)


def read_network(path: str | Path, standardise: bool = True) -> PretrainedNetwork:
    """Read weights from ``.safetensors``, or from ``.pth`` or ``.pt`` without running code.

    Args:
        path: the file.
        standardise: see ``networks.scaled``.

    Raises:
        InputError: the file cannot be read, is of no architecture that is known, or too large.
    """
    path = Path(path)
    refuse_no_file(path, "file of weights")
    try:
        raw = _read(path)
    except Exception as error:  # torch and safetensors raise many kinds for a broken file
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: no readable weights ({reason}){_of_a_model(reason)}") from error
    weights = _plain(path, raw)
    wrong = list[tuple[int, str]]()
    for name, architecture in ARCHITECTURES.items():
        try:
            known = architecture.known(weights)
            with torch.device("meta"):  # whatever size a file asks for, nothing of it is made
                network = architecture(standardise, **architecture.sizes_of(known))
        except (LookupError, *ODD) as error:
            wrong.append((isinstance(error, ODD), f"as {name} {error}"))
            continue
        mistakes = network.mistakes(known)
        if not mistakes:
            _refuse_too_large(path, network)
            return _with_weights(path, network.settings, known)
        there = sum(network.name_in_file(one) in known for one in network.needed)
        wrong.append((there, f"as {name} {mistakes[0]}"))
    nearest = max(wrong, key=lambda one: one[0])[1]
    raise InputError(
        f"{path}: weights of no network that is known ({', '.join(ARCHITECTURES)}); {nearest}"
    )


def _refuse_too_large(path: Path, network: PretrainedNetwork) -> None:
    size = sum(4 * one.numel() for one in network.state_dict().values()) / 1e6
    if size > LARGEST:
        raise InputError(
            f"{path}: {size:.0f} MB of weights, at most {LARGEST} can be saved with a detector; "
            "take a smaller network"
        )


def _with_weights(
    path: Path, settings: Mapping[str, Any], weights: Mapping[str, Tensor]
) -> PretrainedNetwork:
    network = network_of(settings)
    network.take(weights)
    if not all(one.isfinite().all() for one in network.state_dict().values()):
        raise InputError(f"{path}: holds weights that are no numbers; copy or save it anew")
    return network.eval()


def _read(path: Path) -> object:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    weights: object = torch.load(path, map_location="cpu", weights_only=True)
    return weights


def _plain(path: Path, raw: object) -> dict[str, Tensor]:
    """The weights by their names, out of what is around them.

    Raises:
        InputError: there are none.
    """
    for _ in WRAPPED:  # a file may hold itself
        if isinstance(raw, Mapping):
            raw = next((raw[name] for name in WRAPPED if isinstance(raw.get(name), Mapping)), raw)
    if not isinstance(raw, Mapping):
        raise InputError(f"{path}: holds a {type(raw).__name__}, not weights by name")
    found = {str(name): value for name, value in raw.items() if isinstance(value, Tensor)}
    if not found:
        raise InputError(f"{path}: holds no weights by name")
    while any(map(PREFIX.match, found)):
        shorter = {PREFIX.sub("", name): value for name, value in found.items()}
        if len(shorter) < len(found):
            raise InputError(f"{path}: holds the same weights twice, under several prefixes")
        found = shorter
    return found


def _of_a_model(reason: str) -> str:
    """The way out where a file holds code."""
    if "weights_only" not in reason.lower() and "unsupported" not in reason.lower():
        return ""
    return "; of a file with a whole model save its state: torch.save(model.state_dict(), FILE)"
