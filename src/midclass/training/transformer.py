"""Transformer: the network of a vision transformer, after Dosovitskiy et al., ICLR 2021."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

OF_A_HEAD = 64
"""Channels of an attention head in all published sizes."""


class Transformer(nn.Module):
    """The network itself; names of its weights are those of DINOv2.

    Args:
        embedding: channels of a token.
        depth: blocks.
        hidden: channels between the two layers of each block's perceptron.
        patch: side, in pixels.
        grid: side of the table of places, in patches.
        registers: further tokens.
        layer_scale: 1 where the output of each layer is scaled.
        placed: 1 where the class token has a place of its own.
        gated: 1 where the perceptrons are, and places turn queries and keys.
        gate_norm: 1 where a gated perceptron normalises what is between its layers.
    """

    def __init__(
        self,
        embedding: int,
        depth: int,
        hidden: int,
        patch: int,
        grid: int,
        registers: int,
        layer_scale: int,
        placed: int,
        gated: int,
        gate_norm: int,
    ) -> None:
        super().__init__()
        self.grid, self.placed, self.turned = grid, placed, bool(gated)
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(3, embedding, patch, stride=patch)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, embedding))
        self.pos_embed = nn.Parameter(torch.zeros(1, placed + grid**2, embedding))
        if registers:
            self.register_tokens = nn.Parameter(torch.zeros(1, registers, embedding))
        self.blocks = nn.ModuleList(
            _Block(
                _Attention(embedding),
                _Gated(embedding, hidden, gate_norm) if gated else _Perceptron(embedding, hidden),
                [_Scale(embedding) if layer_scale else nn.Identity() for _ in range(2)],
            )
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(embedding, eps=1e-6)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Four maps ``(n, embedding, h, w)``, a cell a patch."""
        cells = self.patch_embed.proj(x)  # type: ignore[operator]
        size = (int(cells.shape[2]), int(cells.shape[3]))
        tokens = cells.flatten(2).mT + self._places(size)
        first = self.cls_token + self.pos_embed[:, : self.placed].sum(1, keepdim=True)
        before = [first, self.register_tokens] if hasattr(self, "register_tokens") else [first]
        tokens = torch.cat([*(one.expand(x.shape[0], -1, -1) for one in before), tokens], 1)
        turns = rotations(size, self.grid, tokens) if self.turned else None
        ends, found = {len(self.blocks) * quarter // 4 for quarter in (1, 2, 3, 4)}, []
        for number, block in enumerate(self.blocks, start=1):
            tokens = block(tokens, turns)
            if number in ends:
                last = self.norm(tokens)[:, -size[0] * size[1] :]
                found.append(last.mT.unflatten(2, size))
        return [*found[:1] * (4 - len(found)), *found]  # of fewer than four blocks

    def _places(self, size: tuple[int, int]) -> Tensor:
        """Of the patches, brought from the table's grid to that of an image, by splines."""
        table = self.pos_embed[:, self.placed :]
        if size == (self.grid, self.grid):
            return table
        square = table.mT.reshape(1, -1, self.grid, self.grid)
        resized = functional.interpolate(square, size=size, mode="bicubic", align_corners=False)
        return resized.flatten(2).mT


def rotations(size: tuple[int, int], grid: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines and sines by which places turn queries and keys: ``(patches, OF_A_HEAD)`` each.

    Half of the channels turn by the row and half by the column, in places of the grid that was
    learned on; neighbours turn together (Su et al., Neurocomputing 568:127063, 2024).
    """
    quarter = OF_A_HEAD // 4
    slow = 10_000.0 ** (-torch.arange(quarter, device=like.device, dtype=like.dtype) / quarter)
    rows, columns = (
        torch.arange(side, device=like.device, dtype=like.dtype) * (grid / side) for side in size
    )
    by_row = (rows[:, None] * slow)[:, None].expand(-1, size[1], -1)
    by_column = (columns[:, None] * slow)[None].expand(size[0], -1, -1)
    angles = torch.cat([by_row, by_column], 2).flatten(0, 1).repeat_interleave(2, 1)
    return angles.cos(), angles.sin()


def turned(x: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
    """Queries or keys ``(n, heads, tokens, channels)``; tokens that have no place come first.

    >>> x, turns = torch.ones(1, 1, 5, 64), rotations((2, 2), 2, torch.ones(1))
    >>> [round(float(one), 3) for one in turned(x, turns).norm(dim=3)[0, 0]]
    [8.0, 8.0, 8.0, 8.0, 8.0]
    """
    cosine, sine = turns
    first, rest = x[:, :, : -len(cosine)], x[:, :, -len(cosine) :]
    across = torch.stack([-rest[..., 1::2], rest[..., ::2]], -1).flatten(-2)
    return torch.cat([first, rest * cosine + across * sine], 2)


class _Block(nn.Module):
    """Attention and a perceptron, each normalised before, scaled and added after."""

    def __init__(
        self, attention: _Attention, perceptron: nn.Module, scales: list[nn.Module]
    ) -> None:
        super().__init__()
        width = attention.proj.out_features
        self.norm1, self.norm2 = (nn.LayerNorm(width, eps=1e-6) for _ in range(2))
        self.attn, self.mlp, (self.ls1, self.ls2) = attention, perceptron, scales

    def forward(self, x: Tensor, turns: tuple[Tensor, Tensor] | None) -> Tensor:
        x = x + self.ls1(self.attn(self.norm1(x), turns))
        found: Tensor = x + self.ls2(self.mlp(self.norm2(x)))
        return found


class _Attention(nn.Module):
    """Of heads with ``OF_A_HEAD`` channels each."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = max(1, width // OF_A_HEAD)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor, turns: tuple[Tensor, Tensor] | None) -> Tensor:
        three = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        query, key, value = three
        if turns is not None:
            query, key = turned(query, turns), turned(key, turns)
        seen = functional.scaled_dot_product_attention(query, key, value)
        found: Tensor = self.proj(seen.transpose(1, 2).flatten(2))
        return found


class _Perceptron(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.fc2(functional.gelu(self.fc1(x)))
        return found


class _Gated(nn.Module):
    """One layer lets the other through (SwiGLU: Shazeer, arXiv 2002.05202)."""

    def __init__(self, width: int, hidden: int, normalised: int) -> None:
        super().__init__()
        self.fc1_g, self.fc1_x = (nn.Linear(width, hidden) for _ in range(2))
        self.norm = nn.LayerNorm(hidden, eps=1e-6) if normalised else nn.Identity()
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.fc2(self.norm(functional.silu(self.fc1_g(x)) * self.fc1_x(x)))
        return found


class _Scale(nn.Module):
    """A factor for each channel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma
