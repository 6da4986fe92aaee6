"""What pretrained networks cost an image, beside EfficientNet-Lite0.

Run it from the root of a checkout, on one core where nothing else runs::

    OMP_NUM_THREADS=1 python benchmarks/backbones.py

Weights are random: time does not depend on them.
"""

from __future__ import annotations

import argparse
import time

import torch

from midclass.training.pretrained import PretrainedNetwork
from midclass.training.published import network_of


def transformer(
    embedding: int, patch: int, grid: int, *, eva: bool, scaled: bool
) -> dict[str, int]:
    """Sizes with 12 blocks."""
    return {
        "embedding": embedding,
        "depth": 12,
        "hidden": embedding * 8 // 3 if eva else 4 * embedding,
        "patch": patch,
        "grid": grid,
        "registers": 0,
        "layer_scale": int(scaled),
        "placed": 1,
        "gated": int(eva),
        "gate_norm": 0,
    }


NETWORKS: dict[str, tuple[str, dict[str, int]]] = {
    "EfficientNet-Lite0 (what `imagenet` is)": ("EfficientNetLite0", {}),
    "ResNet-18": ("ResNet18", {}),
    "ResNet-50 (RadImageNet)": ("ResNet50", {}),
    "DenseNet-121 (TorchXRayVision)": ("DenseNet121", {"colours": 1}),
    "EVA-X tiny": ("VisionTransformer", transformer(192, 16, 14, eva=True, scaled=False)),
    "EVA-X small": ("VisionTransformer", transformer(384, 16, 14, eva=True, scaled=False)),
    "DINOv2 small": ("VisionTransformer", transformer(384, 14, 37, eva=False, scaled=True)),
    "DINOv2 base, RAD-DINO": (
        "VisionTransformer",
        transformer(768, 14, 37, eva=False, scaled=True),
    ),
}


def seconds(network: PretrainedNetwork, images: torch.Tensor) -> float:
    """Processor time of all maps."""
    began = time.process_time()
    with torch.inference_mode():
        network.pyramid(images)
    return time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=16, help="of 128 x 128 pixels")
    parser.add_argument("--times", type=int, default=3, help="of which the fastest counts")
    options = parser.parse_args()
    images, first = torch.rand(options.images, 1, 128, 128), 0.0
    print("| network | weights, MB | ms an image | times |\n| --- | --- | --- | --- |")
    for title, (architecture, sizes) in NETWORKS.items():
        settings = {"architecture": architecture, "standardise": True, **sizes}
        network = network_of(settings).eval()
        size = sum(4 * one.numel() for one in network.state_dict().values()) / 1e6
        seconds(network, images[:2])
        spent = min(seconds(network, images) for _ in range(options.times)) / len(images)
        first = first or spent
        print(f"| {title} | {size:.0f} | {1000 * spent:.0f} | {spent / first:.1f} |", flush=True)


if __name__ == "__main__":
    main()
