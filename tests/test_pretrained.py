"""Features of a pretrained network, its weights from a file; its values are those of the paper."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from makers import recipe
from midclass import InputError, Recipe, load_detector, prepare_array
from midclass.cli.commands import fit
from midclass.cli.commands.source import Source
from midclass.cli.options import Options
from midclass.detectors.baselines.mahalanobis import Mahalanobis
from midclass.detectors.baselines.nearest_neighbour import NearestNeighbour
from midclass.training.architectures import EfficientNetLite0
from midclass.training.pretrained import SIDE, TOGETHER
from midclass.training.published import network_of, read_network


class Weights(dict[str, Tensor]):
    """Random weights under the names of a file."""

    def __init__(self) -> None:
        super().__init__()
        self.rng = torch.Generator().manual_seed(0)

    def conv(self, name: str, out: int, into: int, side: int) -> None:
        scale = (2 / (into * side**2)) ** 0.5
        self[f"{name}.weight"] = scale * torch.randn(out, into, side, side, generator=self.rng)

    def norm(self, name: str, n: int) -> None:
        self[f"{name}.weight"] = 1 + 0.1 * torch.randn(n, generator=self.rng)
        self[f"{name}.bias"] = 0.1 * torch.randn(n, generator=self.rng)
        self[f"{name}.running_mean"] = 0.1 * torch.randn(n, generator=self.rng)
        self[f"{name}.running_var"] = 1 + torch.rand(n, generator=self.rng)


def resnet18() -> dict[str, Tensor]:
    """Under torchvision's names, written down from its documentation."""
    weights = Weights()
    conv, norm = weights.conv, weights.norm
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


BLOCKS = [  # expansion, channels, repeats, stride, kernel: Table 1 of Tan and Le, ICML 2019
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
]


def blocks() -> Iterator[tuple[int, int, int, int, int]]:
    """Channels in, between and out, stride and kernel of each block."""
    into = 32
    for expansion, out, repeats, stride, kernel in BLOCKS:
        for _ in range(repeats):
            yield into, expansion * into, out, stride, kernel
            into, stride = out, 1


def lite0() -> dict[str, Tensor]:
    """Under the names of EfficientNet-PyTorch."""
    weights = Weights()
    weights.conv("_conv_stem", 32, 3, 3)
    weights.norm("_bn0", 32)
    for i, (into, between, out, _, kernel) in enumerate(blocks()):
        name = f"_blocks.{i}"
        if into != between:
            weights.conv(f"{name}._expand_conv", between, into, 1)
            weights.norm(f"{name}._bn0", between)
        weights.conv(f"{name}._depthwise_conv", between, 1, kernel)
        weights.norm(f"{name}._bn1", between)
        weights.conv(f"{name}._project_conv", out, between, 1)
        weights.norm(f"{name}._bn2", out)
    weights.conv("_conv_head", 1280, 320, 1)
    weights.norm("_bn1", 1280)
    weights["_fc.weight"], weights["_fc.bias"] = torch.zeros(1000, 1280), torch.zeros(1000)
    return weights


def last_of_lite0(weights: dict[str, Tensor], x: Tensor) -> Tensor:
    """EfficientNet-Lite0 without a library's network: no squeeze, ReLU6, TensorFlow's padding."""

    def step(x: Tensor, conv: str, bn: str, stride: int = 1, groups: int = 1) -> Tensor:
        kernel = weights[f"{conv}.weight"]
        over = max(kernel.shape[-1] - stride, 0)  # of an image that the stride divides
        x = functional.pad(x, [over // 2, over - over // 2] * 2)
        x = functional.conv2d(x, kernel, stride=stride, groups=groups)
        kinds = ("running_mean", "running_var", "weight", "bias")
        return functional.batch_norm(x, *(weights[f"{bn}.{kind}"] for kind in kinds), eps=1e-3)

    x = functional.relu6(step(x, "_conv_stem", "_bn0", 2))
    for i, (into, between, out, stride, _) in enumerate(blocks()):
        name, y = f"_blocks.{i}", x
        if into != between:
            y = functional.relu6(step(y, f"{name}._expand_conv", f"{name}._bn0"))
        y = functional.relu6(
            step(y, f"{name}._depthwise_conv", f"{name}._bn1", stride, groups=between)
        )
        y = step(y, f"{name}._project_conv", f"{name}._bn2")
        x = x + y if stride == 1 and into == out else y
    return x


def norm_of(weights: dict[str, Tensor], x: Tensor, name: str) -> Tensor:
    kinds = ("running_mean", "running_var", "weight", "bias")
    return functional.batch_norm(x, *(weights[f"{name}.{kind}"] for kind in kinds))


def conv_of(
    weights: dict[str, Tensor], x: Tensor, name: str, stride: int = 1, padding: int = 0
) -> Tensor:
    return functional.conv2d(x, weights[f"{name}.weight"], stride=stride, padding=padding)


def last_of_resnet(weights: dict[str, Tensor], x: Tensor) -> Tensor:
    """ResNet as the paper has it, the stride in the 3 x 3 convolution, without a library's."""
    norm, conv = partial(norm_of, weights), partial(conv_of, weights)
    x = functional.relu(norm(conv(x, "conv1", 2, 3), "bn1"))
    x = functional.max_pool2d(x, 3, 2, 1)
    for stage in (1, 2, 3, 4):
        for block in range(6):
            name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            if f"{name}.conv1.weight" not in weights:
                break
            if f"{name}.conv3.weight" in weights:
                y = functional.relu(norm(conv(x, f"{name}.conv1"), f"{name}.bn1"))
                y = functional.relu(norm(conv(y, f"{name}.conv2", stride, 1), f"{name}.bn2"))
                y = norm(conv(y, f"{name}.conv3"), f"{name}.bn3")
            else:
                y = functional.relu(norm(conv(x, f"{name}.conv1", stride, 1), f"{name}.bn1"))
                y = norm(conv(y, f"{name}.conv2", 1, 1), f"{name}.bn2")
            if f"{name}.downsample.0.weight" in weights:
                x = norm(conv(x, f"{name}.downsample.0", stride), f"{name}.downsample.1")
            x = functional.relu(x + y)
    return x


def resnet50() -> dict[str, Tensor]:
    """Under torchvision's names."""
    weights = Weights()
    weights.conv("conv1", 64, 3, 7)
    weights.norm("bn1", 64)
    into = 64
    for stage, (between, count) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3)), start=1):
        for block in range(count):
            name, out = f"layer{stage}.{block}", 4 * between
            for number, (a, b, side) in enumerate(
                ((into, between, 1), (between, between, 3), (between, out, 1)), start=1
            ):
                weights.conv(f"{name}.conv{number}", b, a, side)
                weights.norm(f"{name}.bn{number}", b)
            if block == 0:
                weights.conv(f"{name}.downsample.0", out, into, 1)
                weights.norm(f"{name}.downsample.1", out)
            into = out
    return weights


DENSE = (6, 12, 24, 16)


def densenet121(colours: int = 3) -> dict[str, Tensor]:
    """Under torchvision's names: 32 channels more a layer."""
    weights, into = Weights(), 64
    weights.conv("features.conv0", 64, colours, 7)
    weights.norm("features.norm0", 64)
    for stage, layers in enumerate(DENSE, start=1):
        for layer in range(1, layers + 1):
            name = f"features.denseblock{stage}.denselayer{layer}"
            weights.norm(f"{name}.norm1", into)
            weights.conv(f"{name}.conv1", 128, into, 1)
            weights.norm(f"{name}.norm2", 128)
            weights.conv(f"{name}.conv2", 32, 128, 3)
            into += 32
        if stage < 4:
            weights.norm(f"features.transition{stage}.norm", into)
            weights.conv(f"features.transition{stage}.conv", into // 2, into, 1)
            into //= 2
    weights.norm("features.norm5", into)
    weights["classifier.weight"], weights["classifier.bias"] = torch.zeros(9, into), torch.zeros(9)
    return weights


def last_of_densenet(weights: dict[str, Tensor], x: Tensor) -> Tensor:
    """DenseNet-121 as the paper has it."""
    norm, conv = partial(norm_of, weights), partial(conv_of, weights)

    def step(x: Tensor, name: str, number: int, padding: int) -> Tensor:
        return conv(
            functional.relu(norm(x, f"{name}.norm{number}")), f"{name}.conv{number}", 1, padding
        )

    x = functional.relu(norm(conv(x, "features.conv0", 2, 3), "features.norm0"))
    x = functional.max_pool2d(x, 3, 2, 1)
    for stage, layers in enumerate(DENSE, start=1):
        for layer in range(1, layers + 1):
            name = f"features.denseblock{stage}.denselayer{layer}"
            x = torch.cat([x, step(step(x, name, 1, 0), name, 2, 1)], 1)
        if stage < 4:
            name = f"features.transition{stage}"
            x = functional.avg_pool2d(
                conv(functional.relu(norm(x, f"{name}.norm")), f"{name}.conv"), 2
            )
    return functional.relu(norm(x, "features.norm5"))


def large(**budget: object) -> Recipe:
    return recipe(geometry={"size": [64, 64], "spacing_mm": 1.0}, nuisance=None, budget=budget)


def images(n: int, stripes: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(n)
    lines = stripes * (np.arange(64) // 4 % 2)
    return (rng.uniform(0.2, 0.6, (n, 1, 64, 64)) + lines).clip(0, 1).astype(np.float32)


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth"])
@pytest.mark.parametrize(
    ("make", "last"),
    [
        (resnet18, last_of_resnet),
        (resnet50, last_of_resnet),
        (densenet121, last_of_densenet),
        (lite0, last_of_lite0),
    ],
)
def test_the_network_is_that_of_the_paper_with_the_file_s_weights(
    tmp_path: Path,
    name: str,
    make: Callable[[], dict[str, Tensor]],
    last: Callable[[dict[str, Tensor], Tensor], Tensor],
) -> None:
    weights = make()
    if name.endswith("safetensors"):
        save_file(weights, tmp_path / name)
    else:
        torch.save(dict(weights), tmp_path / name)
    grey = torch.rand(2, 1, 192, 224)
    with torch.inference_mode():
        stages = read_network(tmp_path / name).stages(grey)
        expected = last(weights, grey.expand(-1, 3, -1, -1))
    scale = expected.abs().max()
    torch.testing.assert_close(stages[-1] / scale, expected / scale, rtol=1e-4, atol=1e-5)
    assert [tuple(stage.shape[2:]) for stage in stages] == [(24, 28), (12, 14), (6, 7)]


def test_a_file_may_count_the_batches_of_its_norms_or_not(tmp_path: Path) -> None:
    """torchvision's own file of ResNet-18 does not; a network that was saved anew does."""
    weights = resnet18()
    norms = [name.removesuffix("running_var") for name in weights if name.endswith("running_var")]
    counted = {f"{name}num_batches_tracked": torch.tensor(1) for name in norms}
    assert len(counted) == 20
    x, stages = torch.rand(1, 3, 160, 160), []
    for name, found in (("a", weights), ("b", weights | counted)):
        torch.save(dict(found), tmp_path / name)
        stages.append(read_network(tmp_path / name).stages(x)[-1])
    torch.testing.assert_close(*stages)


def test_images_pass_in_parts_and_come_back_in_order(tmp_path: Path) -> None:
    save_file(lite0(), tmp_path / "weights.safetensors")
    network = read_network(tmp_path / "weights.safetensors")
    many = torch.rand(TOGETHER + 3, 1, 160, 160)
    with torch.inference_mode():
        for stage, *alone in zip(
            *(network.pyramid(part) for part in (many, many[:1], many[-1:])), strict=True
        ):
            torch.testing.assert_close(stage[[0, -1]], torch.cat(alone))


def test_small_images_are_enlarged_to_what_the_weights_know(tmp_path: Path) -> None:
    save_file(resnet18(), tmp_path / "weights.safetensors")
    network = read_network(tmp_path / "weights.safetensors")
    small = torch.rand(1, 1, 64, 96)
    large = functional.interpolate(small, size=(SIDE, SIDE * 3 // 2), mode="bilinear")
    with torch.inference_mode():
        for one, other in zip(network.stages(small), network.stages(large), strict=True):
            torch.testing.assert_close(one, other)


@pytest.mark.slow
@pytest.mark.parametrize("make", [resnet18, lite0])
@pytest.mark.parametrize(
    "kind", [pytest.param(NearestNeighbour, marks=pytest.mark.thorough), Mahalanobis]
)
def test_a_detector_keeps_the_weights_and_needs_the_file_no_more(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[NearestNeighbour | Mahalanobis],
    make: Callable[[], dict[str, Tensor]],
) -> None:
    monkeypatch.setattr("midclass.training.pretrained.SIDE", 64)
    file = tmp_path / "weights.safetensors"
    save_file(make(), file)
    task = large(pretrained=str(file), standardise=False)
    detector = kind(task).fit(prepare_array(images(60), task), max_fpr=0.1)
    plain = kind(large()).fit(prepare_array(images(60), large()), max_fpr=0.1)
    test = prepare_array(np.concatenate([images(20), images(21, stripes=0.3)]), task)
    scores = detector.score_samples(test)
    assert scores[20:].min() > scores[:20].max()
    standardised = read_network(file).settings["standardise"]
    assert (standardised, detector.network_.settings["standardise"]) == (True, False)
    assert not np.allclose(scores, plain.score_samples(test))  # another network
    detector.save(tmp_path / "saved")
    file.unlink()
    np.testing.assert_array_equal(load_detector(tmp_path / "saved").score_samples(test), scores)


def test_what_is_folded_has_the_weights_that_are_published_and_were_saved_before() -> None:
    """A detector that was saved holds them by these names and of these shapes."""
    network, published = EfficientNetLite0(), EfficientNetLite0.build()
    folded = {name: weight.shape for name, weight in network.backbone.state_dict().items()}
    convolutions = {n for n in folded if n.endswith(".weight")}
    assert len(convolutions) == 48
    assert {n: folded[n] for n in convolutions}.items() <= {
        name: weight.shape for name, weight in published.state_dict().items()
    }.items()
    assert set(folded) == convolutions | {n.replace("weight", "bias") for n in convolutions}


def test_another_network_s_file_is_refused_by_name(tmp_path: Path) -> None:
    weights = resnet18()
    save_file({**weights, "layer2.0.conv1.weight": torch.zeros(3)}, tmp_path / "a.safetensors")
    wrong = (
        r"\(ResNet18, ResNet50, .*\); as ResNet18 layer2.0.conv1.weight should .*there is \(3,\)"
    )
    with pytest.raises(InputError, match=wrong):
        read_network(tmp_path / "a.safetensors")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(InputError, match=r"list\.pth: holds a list, not weights by name"):
        read_network(tmp_path / "list.pth")
    (tmp_path / "b.safetensors").write_text("no weights")
    with pytest.raises(InputError, match=r"b\.safetensors: no readable weights"):
        read_network(tmp_path / "b.safetensors")
    with pytest.raises(InputError, match=r"no such file of weights \(did you mean 'list\.pth'"):
        read_network(tmp_path / "lists.pth")
    torch.save({"epoch": 3, 1: "a"}, tmp_path / "empty.pth")
    with pytest.raises(InputError, match=r"empty\.pth: holds no weights by name"):
        read_network(tmp_path / "empty.pth")
    save_file(weights | {"bn1.bias": torch.full((64,), torch.nan)}, tmp_path / "nan.safetensors")
    with pytest.raises(InputError, match=r"nan\.safetensors: holds weights that are no numbers"):
        read_network(tmp_path / "nan.safetensors")
    odd = weights["bn1.bias"].to_sparse(), weights["bn1.bias"].to(torch.int8)
    for value in odd:
        torch.save(weights | {"bn1.bias": value}, tmp_path / "odd.pth")
        with pytest.raises(InputError, match=r"bn1\.bias is of torch\..*as plain float32"):
            read_network(tmp_path / "odd.pth")
    itself: dict[str, object] = {"bn1.bias": weights["bn1.bias"]}
    itself["state_dict"] = itself
    torch.save(itself, tmp_path / "itself.pth")
    with pytest.raises(InputError, match="no network that is known"):
        read_network(tmp_path / "itself.pth")
    torch.save(weights | {"module.bn1.bias": odd[1].float()}, tmp_path / "twice.pth")
    with pytest.raises(InputError, match="twice"):
        read_network(tmp_path / "twice.pth")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "model.pth")  # with its code
    with pytest.raises(InputError, match=r"save its state: torch\.save\(model\.state_dict\(\)"):
        read_network(tmp_path / "model.pth")


def test_weights_are_found_inside_what_a_training_saved(tmp_path: Path) -> None:
    weights = resnet18()
    inside = {f"module.backbone.{name}": value for name, value in weights.items()}
    torch.save({"epoch": 3, "model": {"state_dict": inside}}, tmp_path / "a.pth")
    numbered = {"conv1": "0", "bn1": "1"} | {f"layer{n}": str(n + 3) for n in (1, 2, 3, 4)}
    names = {name: name.split(".", 1) for name in weights if not name.startswith("fc")}
    torch.save(
        {f"backbone.{numbered[a]}.{b}": weights[name] for name, (a, b) in names.items()},
        tmp_path / "b.pth",
    )
    torch.save(dict(weights), tmp_path / "plain.pth")
    x = torch.rand(1, 1, 160, 160)
    with torch.inference_mode():
        expected = read_network(tmp_path / "plain.pth").stages(x)[-1]
        for name in ("a.pth", "b.pth"):
            torch.testing.assert_close(read_network(tmp_path / name).stages(x)[-1], expected)


def test_grey_weights_see_what_they_were_made_for(tmp_path: Path) -> None:
    """TorchXRayVision's: one channel from -1024 to 1024; and colours become grey."""
    weights = densenet121(colours=1)
    old = {re.sub(r"(denselayer.*(?:norm|conv))(\d)", r"\1.\2", n): x for n, x in weights.items()}
    assert "features.denseblock1.denselayer1.norm.1.bias" in old
    save_file(old, tmp_path / "w.safetensors")
    network, x = read_network(tmp_path / "w.safetensors"), 4 * torch.rand(2, 1, 160, 160) - 2
    with torch.inference_mode():
        found, expected = network.stages(x)[-1], last_of_densenet(weights, 512 * x)
        in_colour = network.stages(x * torch.tensor([0.5, 1, 1.5]).view(1, 3, 1, 1))[-1]
    scale = expected.abs().max()
    torch.testing.assert_close(found / scale, expected / scale, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found / scale, in_colour / scale, rtol=1e-3, atol=1e-4)
    again = network_of(network.settings)
    assert again.state_dict().keys() == network.state_dict().keys()
    assert again.colours == 1


def test_weights_that_no_saved_detector_could_hold_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midclass.training.published.LARGEST", 40)
    monkeypatch.delattr("midclass.training.pretrained.PretrainedNetwork.take")  # before it
    save_file(resnet18(), tmp_path / "w.safetensors")
    with pytest.raises(InputError, match=r"w\.safetensors: 45 MB of weights, at most 40 can be"):
        read_network(tmp_path / "w.safetensors")


def test_a_lost_file_of_weights_is_named_before_an_image_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    (tmp_path / "manifest.csv").write_text("path,label,patient_id\na.png,0,p\n")
    source, task = Source(tmp_path / "manifest.csv"), large(pretrained=str(tmp_path / "lost.pth"))
    with pytest.raises(InputError, match=r"lost\.pth: no such file of weights"):
        fit._fit(task, source, Options(), tmp_path / "out", 0, 0.1, None, "patchcore", 0, "skip")
