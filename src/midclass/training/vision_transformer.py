"""VisionTransformer: of any size, as DINO, MAE, DINOv2, RAD-DINO and EVA-X publish it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from midclass.training.pretrained import PretrainedNetwork
from midclass.training.transformer import OF_A_HEAD, Transformer

LARGEST = {
    "embedding": 2048,
    "depth": 48,
    "hidden": 8192,
    "patch": 64,
    "grid": 128,
    "registers": 64,
}
"""Of what a file may ask for."""
OTHERS = (
    (r"^embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^embeddings\.cls_token$", "cls_token"),
    (r"^embeddings\.register_tokens$", "register_tokens"),
    (r"^embeddings\.position_embeddings$", "pos_embed"),
    (r"^(encoder\.layer|layers)\.", "blocks."),
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
    (r"\.attention\.output\.dense\.", ".attn.proj."),
    (r"\.attention\.o_proj\.", ".attn.proj."),
    (r"\.attention\.attention\.(query|key|value)\.", r".attn.\1."),
    (r"\.attention\.q_proj\.", ".attn.query."),
    (r"\.attention\.k_proj\.", ".attn.key."),
    (r"\.attention\.v_proj\.", ".attn.value."),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"\.output\.dense\.", ".mlp.fc2."),
    (r"\.layer_scale(\d)\.lambda1$", r".ls\1.gamma"),
    (r"^layernorm\.", "norm."),
    (r"^reg_token$", "register_tokens"),
    (r"^fc_norm\.", "norm."),
    (r"\.attn\.q_(proj\.weight|proj\.bias|bias)$", r".attn.query.\1"),
    (r"\.attn\.k_(proj\.weight|proj\.bias|bias)$", r".attn.key.\1"),
    (r"\.attn\.v_(proj\.weight|proj\.bias|bias)$", r".attn.value.\1"),
    (r"(query|key|value)\.proj\.", r"\1."),
    (r"\.mlp\.w12\.", ".mlp.fc1."),
    (r"\.mlp\.w1\.", ".mlp.fc1_g."),
    (r"\.mlp\.w2\.", ".mlp.fc1_x."),
    (r"\.mlp\.w3\.", ".mlp.fc2."),
    (r"\.mlp\.ffn_ln\.", ".mlp.norm."),
)
"""Names of Hugging Face, timm and EVA-02, in this order, and ours, which are those of DINOv2."""


PARTS = ("blocks.", "norm_pre.", "patch_embed.")
"""Of what none may be there that is not known: it would be another network."""


class VisionTransformer(PretrainedNetwork):
    """Dosovitskiy et al., "An image is worth 16x16 words", ICLR 2021.

    With what DINOv2 (Oquab et al., TMLR 2024) added: layer scale, and registers (Darcet et al.,
    ICLR 2024). Files of timm, of the authors and of Hugging Face fit, such as DINO, MAE, DINOv2 or
    RAD-DINO (Perez-Garcia et al., Nat Mach Intell 7:119, 2025). So do EVA-02 (Fang et al., Image
    Vis Comput 149:105171, 2024) and EVA-X (Yao et al., npj Digit Med 8:678, 2025), which are gated
    and turn queries and keys by their place. Heads have 64 channels, as in all of these.

    A transformer has one resolution. Its stages are the outputs after each quarter of its blocks,
    normalised as the last, all at one cell a patch.
    """

    mark = "patch_embed.proj.weight"
    least_cells = 14
    """As in learning from 224 pixels: fewer say too little of where."""

    def __init__(self, standardise: bool = True, **sizes: int) -> None:
        unknown = sizes.keys() ^ {*LARGEST, "layer_scale", "placed", "gated", "gate_norm"}
        least = {name: int(name != "registers") for name in LARGEST}
        wrong = [name for name in LARGEST if not least[name] <= sizes.get(name, 0) <= LARGEST[name]]
        if unknown or wrong:
            raise ValueError(f"no sizes of a transformer: {sizes}")
        self.cell, self.channels = sizes["patch"], (sizes["embedding"],) * 4
        super().__init__(standardise, **sizes)

    @staticmethod
    def build(**sizes: int) -> nn.Module:
        """Ours."""
        return Transformer(**sizes)

    @classmethod
    def known(cls, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Under the names of DINOv2; query, key and value are one, and a key without bias has 0."""
        found = dict[str, Tensor]()
        for name, value in weights.items():
            if re.search(r"(^|\.)rope\.freqs_(cos|sin)$", name):  # is computed here
                continue
            for pattern, ours in OTHERS:
                name = re.sub(pattern, ours, name)
            found[name] = value
        for name in [name for name in found if ".attn.query." in name]:
            _join(found, name)
        for name in [name for name in found if ".mlp.fc1." in name]:
            _part(found, name)
        return found

    @classmethod
    def sizes_of(cls, weights: Mapping[str, Tensor]) -> dict[str, int]:
        """From the shapes of the weights."""
        super().sizes_of(weights)
        gated = "blocks.0.mlp.fc1_g.weight" in weights
        hidden_layer = f"blocks.0.mlp.fc1{'_g' if gated else ''}.weight"
        needed = (cls.mark, "pos_embed", "cls_token", hidden_layer)
        lost = [name for name in needed if name not in weights]
        if lost:
            raise LookupError(f"{lost[0]} is not there")
        patches, places, _, hidden = (weights[name] for name in needed)
        depths = [
            int(one[1]) for one in map(re.compile(r"blocks\.([0-9]{1,4})\.").match, weights) if one
        ]
        if patches.ndim != 4 or places.ndim != 3 or hidden.ndim != 2:
            raise ValueError("patch_embed, pos_embed or blocks have shapes of no transformer")
        if patches.shape[0] % OF_A_HEAD:
            raise ValueError(f"has {patches.shape[0]} channels, no multiple of {OF_A_HEAD}")
        if gated and "blocks.0.ls1.gamma" in weights:  # as that of a billion weights of DINOv2
            raise ValueError("blocks.0 is gated and scaled, which is not known")
        count = places.shape[1]
        placed = int(math.isqrt(count) ** 2 != count)  # the class token has a place, too
        registers = weights.get("register_tokens")
        return {
            "embedding": patches.shape[0],
            "depth": max(depths) + 1,
            "hidden": hidden.shape[0],
            "patch": patches.shape[-1],
            "grid": math.isqrt(count - placed),
            "registers": 0 if registers is None else registers.shape[1],
            "layer_scale": int("blocks.0.ls1.gamma" in weights),
            "placed": placed,
            "gated": int(gated),
            "gate_norm": int("blocks.0.mlp.norm.weight" in weights),
        }

    def mistakes(self, weights: Mapping[str, Tensor]) -> list[str]:
        """Also what the blocks of a file have and these have not: it is another network."""
        found = super().mistakes(weights)
        more = [one for one in weights if one.startswith(PARTS) and one not in self.needed]
        return found + [f"there is {one}, which is not known" for one in more]

    def maps(self, x: Tensor) -> list[Tensor]:
        """After each quarter of the blocks."""
        net: Any = self.backbone
        found: list[Tensor] = net(x)
        return [one.contiguous(memory_format=self.layout) for one in found]


def _join(weights: dict[str, Tensor], name: str) -> None:
    """Query, key and value as one; ``name`` is the query's. They stay where one is missing."""
    query = weights[name]
    names = [name.replace(".query.", f".{one}.") for one in ("query", "key", "value")]
    if name.endswith(".bias"):
        weights.setdefault(names[1], torch.zeros_like(query))
    three = [weights[one] for one in names if one in weights]
    if len(three) == 3 and query.ndim and len({one.shape[1:] for one in three}) == 1:
        for one in names:
            del weights[one]
        weights[name.replace(".query.", ".qkv.")] = torch.cat(three)


def _part(weights: dict[str, Tensor], name: str) -> None:
    """The two layers of a gated perceptron that are kept as one, the gate first."""
    block = name.partition(".fc1.")[0]
    after = weights.get(f"{block}.fc2.weight")
    one = weights[name]
    if after is not None and after.ndim == 2 and one.ndim and len(one) == 2 * after.shape[1]:
        gate, other = weights.pop(name).chunk(2)
        weights[name.replace(".fc1.", ".fc1_g.")] = gate
        weights[name.replace(".fc1.", ".fc1_x.")] = other
