"""Vision transformers from files of several publishers: their values are those of the papers."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from makers import recipe
from midclass import Detector, InputError, Recipe, load_detector, prepare_array
from midclass.detectors.baselines.feature_autoencoder import FeatureAutoEncoder
from midclass.detectors.baselines.linear_probe import LinearProbe
from midclass.detectors.baselines.mahalanobis import Mahalanobis
from midclass.detectors.baselines.padim import PaDiM
from midclass.detectors.baselines.patchcore import PatchCore
from midclass.detectors.baselines.reverse_distillation import ReverseDistillation
from midclass.detectors.baselines.simplenet import SimpleNet
from midclass.detectors.export import exported
from midclass.detectors.middle_class import MiddleClassDetector
from midclass.training.published import network_of, read_network
from midclass.training.transformer import rotations

WIDTH, HIDDEN, PATCH, GRID, DEPTH = 128, 192, 8, 6, 4


def made(*, scaled: bool = False, gated: bool = False, registers: int = 0) -> dict[str, Tensor]:
    """Random weights under the names of DINOv2, or of timm's EVA-02 where gated."""
    rng = torch.Generator().manual_seed(0)

    def some(*shape: int, scale: float = 1.0) -> Tensor:
        return scale * torch.randn(shape, generator=rng)

    weights = {
        "cls_token": some(1, 1, WIDTH),
        "pos_embed": some(1, 1 + GRID**2, WIDTH),
        "patch_embed.proj.weight": some(WIDTH, 3, PATCH, PATCH, scale=0.1),
        "patch_embed.proj.bias": some(WIDTH),
        "head.weight": some(9, WIDTH),
    }
    if registers:
        weights["register_tokens"] = some(1, registers, WIDTH)

    def linear(name: str, out: int, into: int) -> None:
        weights[f"{name}.weight"] = some(out, into, scale=into**-0.5)
        weights[f"{name}.bias"] = some(out, scale=0.1)

    def norm(name: str, width: int = WIDTH) -> None:
        weights[f"{name}.weight"] = 1 + some(width, scale=0.1)
        weights[f"{name}.bias"] = some(width, scale=0.1)

    for number in range(DEPTH):
        block = f"blocks.{number}"
        norm(f"{block}.norm1")
        norm(f"{block}.norm2")
        linear(f"{block}.attn.proj", WIDTH, WIDTH)
        linear(f"{block}.mlp.fc2", WIDTH, HIDDEN)
        if gated:
            for one in ("q_proj", "k_proj", "v_proj"):
                linear(f"{block}.attn.{one}", WIDTH, WIDTH)
            del weights[f"{block}.attn.k_proj.bias"]
            linear(f"{block}.mlp.fc1_g", HIDDEN, WIDTH)
            linear(f"{block}.mlp.fc1_x", HIDDEN, WIDTH)
            norm(f"{block}.mlp.norm", HIDDEN)
        else:
            linear(f"{block}.attn.qkv", 3 * WIDTH, WIDTH)
            linear(f"{block}.mlp.fc1", HIDDEN, WIDTH)
        if scaled:
            for one in ("ls1", "ls2"):
                weights[f"{block}.{one}.gamma"] = some(WIDTH, scale=0.5)
    norm("norm")
    return weights


def tokens_of(weights: dict[str, Tensor], x: Tensor) -> Tensor:
    """Class token, registers and patches of images of ``GRID`` patches a side."""
    patches = functional.conv2d(
        x, weights["patch_embed.proj.weight"], weights["patch_embed.proj.bias"], stride=PATCH
    )
    tokens = patches.flatten(2).transpose(1, 2)
    placed = torch.cat([weights["cls_token"].expand(len(x), -1, -1), tokens], 1)
    placed = placed + weights["pos_embed"]
    more = weights.get("register_tokens", torch.zeros(1, 0, WIDTH)).expand(len(x), -1, -1)
    return torch.cat([placed[:, :1], more, placed[:, 1:]], 1)


def of_torch(weights: dict[str, Tensor], x: Tensor) -> Tensor:
    """The last tokens by torch's own layers."""
    tokens = tokens_of(weights, x)
    for number in range(DEPTH):
        own = {
            name.removeprefix(f"blocks.{number}."): value
            for name, value in weights.items()
            if name.startswith(f"blocks.{number}.")
        }
        layer = nn.TransformerEncoderLayer(
            WIDTH, WIDTH // 64, HIDDEN, 0, "gelu", 1e-6, batch_first=True, norm_first=True
        ).eval()
        names = {
            "self_attn.in_proj_": "attn.qkv.",
            "self_attn.out_proj.": "attn.proj.",
            "linear1.": "mlp.fc1.",
            "linear2.": "mlp.fc2.",
        }
        state = {}
        for name in layer.state_dict():
            ours = name
            for theirs, mine in names.items():
                ours = ours.replace(theirs, mine)
            state[name] = own[ours]
        for scale, last in (("ls1", "self_attn.out_proj."), ("ls2", "linear2.")):
            factor = own.get(f"{scale}.gamma", torch.ones(WIDTH))  # is the same as a larger weight
            state[f"{last}weight"] = state[f"{last}weight"] * factor[:, None]
            state[f"{last}bias"] = state[f"{last}bias"] * factor
        layer.load_state_dict(state)
        tokens = layer(tokens)
    return functional.layer_norm(
        tokens, (WIDTH,), weights["norm.weight"], weights["norm.bias"], 1e-6
    )


def of_complex_numbers(weights: dict[str, Tensor], x: Tensor) -> Tensor:
    """The last tokens of EVA-02: places turn pairs of channels, as complex numbers do."""
    tokens = tokens_of(weights, x)
    slow = 10_000 ** (-torch.arange(16, dtype=torch.float64) / 16)
    row, column = torch.meshgrid(torch.arange(GRID), torch.arange(GRID), indexing="ij")
    angles = torch.cat([place.reshape(-1, 1) * slow for place in (row, column)], 1)
    angles = torch.cat([torch.zeros(tokens.shape[1] - GRID**2, 32), angles])
    turn = torch.polar(torch.ones_like(angles), angles)

    def norm(x: Tensor, name: str) -> Tensor:
        found = weights[f"{name}.weight"], weights[f"{name}.bias"]
        return functional.layer_norm(x, x.shape[-1:], *found, 1e-6)

    def linear(x: Tensor, name: str) -> Tensor:
        return functional.linear(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"))

    def heads(x: Tensor) -> Tensor:
        return x.view(len(x), -1, WIDTH // 64, 64).transpose(1, 2)

    def turned(x: Tensor) -> Tensor:
        pairs = torch.view_as_complex(x.double().reshape(*x.shape[:-1], 32, 2)) * turn
        return torch.view_as_real(pairs).flatten(-2).float()

    for number in range(DEPTH):
        block = f"blocks.{number}"
        seen = norm(tokens, f"{block}.norm1")
        q, k, v = (heads(linear(seen, f"{block}.attn.{one}_proj")) for one in "qkv")
        weight = (turned(q) @ turned(k).transpose(2, 3) / 8).softmax(3)
        mixed = (weight @ v).transpose(1, 2).flatten(2)
        tokens = tokens + linear(mixed, f"{block}.attn.proj")
        seen = norm(tokens, f"{block}.norm2")
        gate = functional.silu(linear(seen, f"{block}.mlp.fc1_g"))
        inner = norm(gate * linear(seen, f"{block}.mlp.fc1_x"), f"{block}.mlp.norm")
        tokens = tokens + linear(inner, f"{block}.mlp.fc2")
    return norm(tokens, "norm")


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images are not enlarged."""
    monkeypatch.setattr("midclass.training.pretrained.SIDE", 1)
    monkeypatch.setattr("midclass.training.vision_transformer.VisionTransformer.least_cells", 0)


def maps_of(weights: dict[str, Tensor], x: Tensor, folder: Path) -> list[Tensor]:
    save_file({name: x.contiguous() for name, x in weights.items()}, folder / "w.safetensors")
    with torch.inference_mode():
        return read_network(folder / "w.safetensors").pyramid(x)


def hugging_face(name: str, *, older: bool) -> str:
    """The names that transformers gives DINOv2, or ViT; an older or a newer version's."""
    pairs = [
        (r"^(cls_token|register_tokens)$", r"embeddings.\1"),
        (r"^pos_embed$", "embeddings.position_embeddings"),
        (r"^patch_embed\.proj\.", "embeddings.patch_embeddings.projection."),
        (r"^blocks\.", "encoder.layer." if older else "layers."),
        (r"\.ls(\d)\.gamma$", r".layer_scale\1.lambda1"),
        (r"^norm\.", "layernorm."),
        (r"\.attn\.proj\.", ".attention.output.dense." if older else ".attention.o_proj."),
    ]
    for ours, theirs in pairs:
        name = re.sub(ours, theirs, name)
    return name


def with_three(weights: dict[str, Tensor], name: Callable[[str], str]) -> dict[str, Tensor]:
    """Query, key and value apart."""
    found = {}
    for one, value in weights.items():
        if ".attn.qkv." not in one:
            found[one] = value
            continue
        for part, own in zip(("query", "key", "value"), value.chunk(3), strict=True):
            found[one.replace(".attn.qkv.", name(part))] = own
    return found


@pytest.mark.parametrize("registers", [0, 4])
@pytest.mark.parametrize("scaled", [False, True])
def test_the_network_is_that_of_the_paper_with_the_file_s_weights(
    tmp_path: Path, scaled: bool, registers: int
) -> None:
    weights, x = made(scaled=scaled, registers=registers), torch.randn(2, 1, 48, 48)
    maps = maps_of(weights, x, tmp_path)
    expected = of_torch(weights, x.expand(-1, 3, -1, -1))[:, 1 + registers :]
    torch.testing.assert_close(maps[-1].flatten(2).mT, expected, rtol=1e-4, atol=1e-4)
    assert [tuple(one.shape) for one in maps] == [(2, WIDTH, GRID, GRID)] * 4
    shorter = {n: x for n, x in weights.items() if not n.startswith(("blocks.2", "blocks.3"))}
    half = maps_of(shorter, x, tmp_path)  # a stage ends after each quarter of the blocks
    torch.testing.assert_close(half[-1], maps[1], rtol=1e-4, atol=1e-4)


def test_a_stage_ends_after_each_quarter_of_the_blocks(tmp_path: Path) -> None:
    weights, x = made(), torch.randn(1, 1, 48, 48)
    eight = dict(weights)
    for name, value in weights.items():
        if name.startswith("blocks."):
            number, rest = name.split(".", 2)[1:]
            eight[f"blocks.{int(number) + DEPTH}.{rest}"] = value.clone()
    quarters, first = maps_of(eight, x, tmp_path), maps_of(weights, x, tmp_path)
    torch.testing.assert_close(quarters[0], first[1])  # two blocks
    torch.testing.assert_close(quarters[1], first[3])  # four
    assert not torch.allclose(quarters[2], quarters[3])


def test_places_of_a_larger_image_lie_in_the_grid_that_was_learned_on() -> None:
    learned, larger = rotations((6, 6), 6, torch.ones(1)), rotations((12, 18), 6, torch.ones(1))
    for one, other in zip(learned, larger, strict=True):
        every = other.view(12, 18, -1)[::2, ::3]
        torch.testing.assert_close(every.reshape(36, -1), one, rtol=1e-4, atol=1e-5)


def test_gated_networks_turn_by_place(tmp_path: Path) -> None:
    weights, x = made(gated=True), torch.randn(2, 3, 48, 48)
    expected = of_complex_numbers(weights, x)[:, 1:]
    found = maps_of(weights, x, tmp_path)[-1].flatten(2).mT
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("older", [False, True])
def test_names_of_other_publishers_mean_the_same(tmp_path: Path, older: bool) -> None:
    weights, x = made(scaled=True, registers=4), torch.randn(1, 1, 48, 48)
    expected = maps_of(weights, x, tmp_path)[-1]
    three = {"query": "q_proj", "key": "k_proj", "value": "v_proj"}
    apart = with_three(
        weights,
        lambda part: f".attention.attention.{part}." if older else f".attention.{three[part]}.",
    )
    theirs = {f"dinov2.{hugging_face(name, older=older)}": x for name, x in apart.items()}
    torch.testing.assert_close(maps_of(theirs, x, tmp_path)[-1], expected)
    of_timm = {name.replace("register_tokens", "reg_token"): x for name, x in weights.items()}
    torch.testing.assert_close(maps_of(of_timm, x, tmp_path)[-1], expected)


def test_names_of_eva_mean_the_same_however_they_are_packed(tmp_path: Path) -> None:
    weights, x = made(gated=True), torch.randn(1, 1, 48, 48)
    expected = maps_of(weights, x, tmp_path)[-1]
    original = {}
    for name, value in weights.items():
        for ours, theirs in (
            ("fc1_g", "w1"),
            ("fc1_x", "w2"),
            ("fc2", "w3"),
            ("mlp.norm", "mlp.ffn_ln"),
        ):
            name = name.replace(ours, theirs)
        name = re.sub(r"attn\.([qv])_proj\.bias", r"attn.\1_bias", name)
        original[name] = value
    for number in range(DEPTH):  # are computed
        original[f"blocks.{number}.attn.rope.freqs_cos"] = torch.zeros(3)
    original["rope.freqs_sin"] = torch.zeros(3)
    torch.testing.assert_close(maps_of(original, x, tmp_path)[-1], expected)
    packed = dict(weights)
    for number in range(DEPTH):
        for kind in ("weight", "bias"):
            both = [packed.pop(f"blocks.{number}.mlp.fc1_{one}.{kind}") for one in "gx"]
            packed[f"blocks.{number}.mlp.fc1.{kind}"] = torch.cat(both)
    torch.testing.assert_close(maps_of(packed, x, tmp_path)[-1], expected)


def test_an_image_of_another_size_is_seen_at_its_own_places(tmp_path: Path) -> None:
    """What lies in one part of a larger image is not seen elsewhere."""
    x = torch.zeros(1, 1, 80, 64)
    x[..., 64:, :8] = 5
    for weights in (made(), made(gated=True)):
        with_it, without = (maps_of(weights, one, tmp_path)[0] for one in (x, 0 * x))
        assert with_it.shape[2:] == (10, 8)
        apart = (with_it - without).norm(dim=1)[0]
        assert divmod(int(apart.argmax()), 8) in [(8, 0), (9, 0)]
    odd = maps_of(made(), torch.zeros(1, 1, 50, 41), tmp_path)[0]
    assert odd.shape[2:] == (7, 6)  # patches that would be cut are whole


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"blocks.1.attn.q_norm.weight": torch.ones(64)}, "blocks.1.attn.q_norm.weight, which is"),
        ({"norm_pre.weight": torch.ones(WIDTH)}, "there is norm_pre.weight, which is not known"),
        ({"patch_embed.norm.weight": torch.ones(WIDTH)}, "there is patch_embed.norm.weight"),
        ({"patch_embed.proj.weight": torch.ones(WIDTH, 3, 0, 0)}, "no sizes of a transformer"),
        ({"pos_embed": torch.ones(1, 0, WIDTH)}, "no sizes of a transformer"),
        ({"blocks.2.norm1.bias": torch.ones(3)}, r"blocks.2.norm1.bias should .* there is \(3,\)"),
        ({"blocks.900.norm1.bias": torch.ones(WIDTH)}, "no sizes of a transformer"),
        ({"pos_embed": torch.ones(3)}, "shapes of no transformer"),
        ({"pos_embed": torch.tensor(3.0)}, "shapes of no transformer"),
        ({"register_tokens": torch.tensor(3.0)}, ""),
        (
            {"blocks.0.attn.q_proj.weight": torch.tensor(3.0)},
            "attn.query.weight, which is",
        ),
        ({"blocks.0.mlp.fc1.weight": torch.tensor(3.0)}, "shapes of no transformer"),
        ({"patch_embed.proj.weight": torch.ones(100, 3, 8, 8)}, "100 channels, no multiple of 64"),
    ],
)
def test_what_is_another_network_is_refused_and_named(
    tmp_path: Path, change: dict[str, Tensor], words: str
) -> None:
    save_file(made() | change, tmp_path / "w.safetensors")
    with pytest.raises(InputError, match=f"no network that is known.*{words}"):
        read_network(tmp_path / "w.safetensors")


def test_gated_and_scaled_is_refused(tmp_path: Path) -> None:
    save_file(made(gated=True, scaled=True), tmp_path / "w.safetensors")
    with pytest.raises(InputError, match="no network that is known"):
        read_network(tmp_path / "w.safetensors")


@pytest.mark.parametrize("name", ["embedding", "depth", "grid"])
def test_a_saved_detector_cannot_ask_for_more_than_there_is(name: str, tmp_path: Path) -> None:
    save_file(made(), tmp_path / "w.safetensors")
    settings = read_network(tmp_path / "w.safetensors").settings
    with pytest.raises(ValueError, match="no sizes of a transformer"):
        network_of(settings | {name: 10**9})


def task(file: Path) -> Recipe:
    return recipe(
        geometry={"size": [48, 48], "spacing_mm": 1.0},
        budget={"pretrained": str(file), "steps": 4, "batch": 4, "checkpoints": 1, "width": 8},
    )


def noise(n: int, stripes: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(n)
    lines = stripes * (np.arange(48) // 4 % 2)
    return (rng.uniform(0.3, 0.5, (n, 1, 48, 48)) + lines).clip(0, 1).astype(np.float32)


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    [
        MiddleClassDetector,
        Mahalanobis,
        PatchCore,
        PaDiM,
        SimpleNet,
        FeatureAutoEncoder,
        ReverseDistillation,
        LinearProbe,
    ],
)
def test_every_detector_that_reads_maps_takes_a_transformer(
    kind: type[Detector], tmp_path: Path
) -> None:
    file = tmp_path / "w.safetensors"
    save_file(made(scaled=True, registers=2), file)
    given = prepare_array(noise(40), task(file))
    few = prepare_array(noise(6, stripes=0.4), task(file), label=1)
    known = {"positives": few} if kind.needs_positives else {}
    detector = kind(task(file)).fit(given, max_fpr=0.2, **known)
    test = prepare_array(np.concatenate([noise(10), noise(11, stripes=0.4)]), task(file))
    scores = detector.score_samples(test)
    assert np.isfinite(scores).all()
    assert len(np.unique(scores)) > 15
    if kind.makes_heat_maps:
        assert np.isfinite(detector.heat_maps(test)).all()
    detector.save(tmp_path / "saved")
    file.unlink()
    again = load_detector(tmp_path / "saved")
    assert again.score_samples(test).tobytes() == scores.tobytes()
    assert "VisionTransformer" in (tmp_path / "saved" / "MODEL_CARD.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("gated", [False, pytest.param(True, marks=pytest.mark.thorough)])
def test_an_exported_transformer_scores_as_the_detector(gated: bool, tmp_path: Path) -> None:
    file = tmp_path / "w.safetensors"
    save_file(made(gated=gated), file)
    given = prepare_array(noise(40), task(file))
    detector = Mahalanobis(task(file)).fit(given, max_fpr=0.2)
    test = prepare_array(noise(5, stripes=0.2), task(file))
    detector.save(tmp_path / "saved")
    raw, found = exported(detector, tmp_path / "saved", test, "images")
    assert found.images == 5
    assert len(raw) > 4 * sum(one.numel() for one in detector.network_.state_dict().values())
