"""Features of a pretrained network: the weights of torchvision's ResNet-18, from a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from midclass.detectors.base import load_detector
from midclass.detectors.mahalanobis import Mahalanobis
from midclass.detectors.nearest_neighbour import NearestNeighbour
from midclass.errors import InputError
from midclass.images.prepare import prepare_array
from midclass.pretrained import PretrainedNetwork
from midclass.recipe import Recipe


def resnet18() -> dict[str, Tensor]:
    """Random weights under torchvision's names, written down from its documentation."""
    rng = torch.Generator().manual_seed(0)
    weights: dict[str, Tensor] = {}

    def conv(name: str, out: int, into: int, side: int) -> None:
        scale = (2 / (into * side**2)) ** 0.5
        weights[f"{name}.weight"] = scale * torch.randn(out, into, side, side, generator=rng)

    def norm(name: str, n: int) -> None:
        weights[f"{name}.weight"] = 1 + 0.1 * torch.randn(n, generator=rng)
        weights[f"{name}.bias"] = 0.1 * torch.randn(n, generator=rng)
        weights[f"{name}.running_mean"] = 0.1 * torch.randn(n, generator=rng)
        weights[f"{name}.running_var"] = 1 + torch.rand(n, generator=rng)
        weights[f"{name}.num_batches_tracked"] = torch.tensor(1)

    conv("conv1", 64, 3, 7)
    norm("bn1", 64)
    into = 64
    for stage, out in enumerate((64, 128, 256, 512), start=1):
        for block in (0, 1):
            name = f"layer{stage}.{block}"
            conv(f"{name}.conv1", out, into, 3)
            norm(f"{name}.bn1", out)
            conv(f"{name}.conv2", out, out, 3)
            norm(f"{name}.bn2", out)
            if into != out:
                conv(f"{name}.downsample.0", out, into, 1)
                norm(f"{name}.downsample.1", out)
            into = out
    weights["fc.weight"], weights["fc.bias"] = torch.zeros(1000, 512), torch.zeros(1000)
    return weights


def last_stage(weights: dict[str, Tensor], x: Tensor) -> Tensor:
    """ResNet-18 as the paper has it, without a library's network."""

    def norm(x: Tensor, name: str) -> Tensor:
        kinds = ("running_mean", "running_var", "weight", "bias")
        return functional.batch_norm(x, *(weights[f"{name}.{kind}"] for kind in kinds))

    def conv(x: Tensor, name: str, stride: int, padding: int) -> Tensor:
        return functional.conv2d(x, weights[f"{name}.weight"], stride=stride, padding=padding)

    x = functional.relu(norm(conv(x, "conv1", 2, 3), "bn1"))
    x = functional.max_pool2d(x, 3, 2, 1)
    for stage in (1, 2, 3, 4):
        for block in (0, 1):
            name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            y = functional.relu(norm(conv(x, f"{name}.conv1", stride, 1), f"{name}.bn1"))
            y = norm(conv(y, f"{name}.conv2", 1, 1), f"{name}.bn2")
            if f"{name}.downsample.0.weight" in weights:
                x = norm(conv(x, f"{name}.downsample.0", stride, 0), f"{name}.downsample.1")
            x = functional.relu(x + y)
    return x


def recipe(**budget: object) -> Recipe:
    return Recipe.from_dict(
        {
            "name": "small",
            "given_class": "noise",
            "target_class": "stripes",
            "geometry": {"size": [64, 64], "spacing_mm": 1.0},
            "anatomy": "anatomy.whole",
            "middle_classes": {"unused": {"operator": "focal.Focal"}},
            "nuisance": None,
            "budget": budget,
        }
    )


def images(n: int, stripes: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(n)
    lines = stripes * (np.arange(64) // 4 % 2)
    return (rng.uniform(0.2, 0.6, (n, 1, 64, 64)) + lines).clip(0, 1).astype(np.float32)


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth"])
def test_the_network_is_that_of_the_paper_with_the_file_s_weights(
    tmp_path: Path, name: str
) -> None:
    weights = resnet18()
    save_file(weights, tmp_path / name) if name.endswith("rs") else torch.save(
        weights, tmp_path / name
    )
    grey = torch.rand(2, 1, 64, 64)
    with torch.inference_mode():
        stages = PretrainedNetwork.load(tmp_path / name).stages(grey)
        expected = last_stage(weights, grey.expand(-1, 3, -1, -1))
    torch.testing.assert_close(stages[-1], expected, rtol=1e-4, atol=1e-4)
    assert [stage.shape[-1] for stage in stages] == [8, 4, 2]


@pytest.mark.parametrize("kind", [NearestNeighbour, Mahalanobis])
def test_a_detector_keeps_the_weights_and_needs_the_file_no_more(
    tmp_path: Path, kind: type[NearestNeighbour | Mahalanobis]
) -> None:
    file = tmp_path / "weights.safetensors"
    save_file(resnet18(), file)
    task = recipe(pretrained=str(file))
    detector = kind(task).fit(prepare_array(images(60), task), max_fpr=0.1)
    plain = kind(recipe()).fit(prepare_array(images(60), recipe()), max_fpr=0.1)
    test = prepare_array(np.concatenate([images(20), images(21, stripes=0.3)]), task)
    scores = detector.score_samples(test)
    assert scores[20:].min() > scores[:20].max()
    assert not np.allclose(scores, plain.score_samples(test))  # another network
    detector.save(tmp_path / "saved")
    file.unlink()
    np.testing.assert_array_equal(load_detector(tmp_path / "saved").score_samples(test), scores)


def test_another_network_s_file_is_refused_by_name(tmp_path: Path) -> None:
    weights = resnet18()
    save_file({**weights, "layer2.0.conv1.weight": torch.zeros(3)}, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match=r"layer2.0.conv1.weight should have .*there is \(3,\)"):
        PretrainedNetwork.load(tmp_path / "a.safetensors")
    (tmp_path / "b.safetensors").write_text("no weights")
    for name in ("b.safetensors", "none.pth"):
        with pytest.raises(InputError, match=f"{name}: no readable weights"):
            PretrainedNetwork.load(tmp_path / name)
