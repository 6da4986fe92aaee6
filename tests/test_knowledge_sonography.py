"""Laws of a mass in ultrasound: fewer echoes in it, and what lies behind it lies along the beam."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from makers import seeded
from midclass import ImageBatch
from midclass.knowledge.sonography import SonographicMass

MM = 0.5
LEVEL = 0.6
PLAIN = {"diameter_mm": (8, 8), "axis_ratio": (1, 1), "roughness": (0, 0), "texture": (0, 0)}
BEHIND = {"lost": (0.5, 0.5), "kept": (0, 0), "changed": (0.3, 0.3), "reach_mm": (20, 20)}


def tissue(n: int = 8, size: int = 96, grain: float = 0.03) -> ImageBatch:
    noise = grain * torch.randn(n, 1, size, size, generator=seeded())
    return ImageBatch.of((LEVEL + noise).clamp(0, 1), spacing_mm=MM)


def made(batch: ImageBatch, behind: str, **more: object) -> tuple[Tensor, Tensor, Tensor]:
    """What it looks like; rows and columns in mm from the mass's centre."""
    mass = SonographicMass(behind=behind, centre_jitter_mm=0, **PLAIN, **{**BEHIND, **more})  # type: ignore[arg-type]
    place = (torch.arange(96) - 47.5) * MM
    shown = mass(batch, seeded()).pixels[:, 0]
    return shown, place.view(-1, 1).expand(96, 96), place.view(1, -1).expand(96, 96)


@pytest.mark.parametrize(("behind", "way"), [("shadow", -1), ("enhancement", 1), ("nothing", 0)])
def test_what_lies_behind_is_as_wide_as_the_mass_and_fades_with_depth(
    behind: str, way: int
) -> None:
    batch = tissue()
    shown, y, x = made(batch, behind)
    step = (shown - batch.pixels[:, 0]).mean(0) / LEVEL
    near = float(step[(y > 5) & (y < 7) & (x.abs() < 2)].mean())
    far = float(step[(y > 20) & (y < 22) & (x.abs() < 2)].mean())
    assert near == pytest.approx(way * 0.3 * math.exp(-6 / 20), abs=0.02)
    assert far == pytest.approx(way * 0.3 * math.exp(-21 / 20), abs=0.02)
    assert float(step[(y > 5) & (x.abs() > 7)].abs().max()) < 0.01
    assert float(step[y < -6].abs().max()) < 0.01


@pytest.mark.parametrize("grain", [0.01, 0.05])
def test_how_many_echoes_are_lost_does_not_hang_on_the_grain(grain: float) -> None:
    shown, y, x = made(tissue(grain=grain), "nothing", lost=(0.7, 0.7))
    inside = (y.square() + x.square()).sqrt() < 2.5
    assert float(shown[:, inside].mean()) == pytest.approx(0.3 * LEVEL, abs=0.01)


@pytest.mark.parametrize("kept", [0.0, 0.5])
def test_the_layers_of_the_tissue_are_interrupted(kept: float) -> None:
    batch = tissue(grain=0.05)
    shown, y, x = made(batch, "nothing", lost=(0.3, 0.3), kept=(kept, kept))
    inside = (y.square() + x.square()).sqrt() < 2.5
    left = shown[:, inside].std(1) / batch.pixels[:, 0, inside].std(1)
    assert float(left.mean()) == pytest.approx(kept, abs=0.1)


def test_the_shadow_of_a_long_mass_is_as_wide_as_the_mass_in_columns() -> None:
    """Also where pixels are wider than high, and the mass is turned."""
    batch = ImageBatch.of(torch.full((40, 1, 120, 80), LEVEL), spacing_mm=(0.5, 1.0))
    mass = SonographicMass(
        behind="shadow",
        diameter_mm=(12, 12),
        axis_ratio=(0.3, 0.3),
        roughness=(0, 0),
        lost=(0.9, 0.9),
        changed=(0.5, 0.5),
        reach_mm=(500, 500),
        centre_jitter_mm=0,
    )
    alone = replace(mass, behind="nothing")(batch, seeded()).change[:, 0]
    columns = (alone > 0.5).any(1).sum(1).float()
    beneath = (mass(batch, seeded()).change[:, 0, -4] > 0.5).sum(1).float()
    assert columns.max() > 1.5 * columns.min()  # some lie along the beam, some across
    assert (columns - beneath).abs().max() <= 2


def test_outside_the_anatomy_and_in_colour_nothing_else_happens() -> None:
    batch = tissue(grain=0.0)
    anatomy = torch.zeros_like(batch.anatomy)
    anatomy[..., :60] = True
    cut = ImageBatch.of(batch.pixels.expand(-1, 3, -1, -1).clone(), anatomy, MM)
    shown = SonographicMass(behind="shadow", diameter_mm=(30, 30))(cut, seeded())
    assert torch.equal(shown.pixels[..., 60:], cut.pixels[..., 60:])
    assert torch.allclose(shown.pixels[:, 0], shown.pixels[:, 2])
    assert float(shown.change.amax()) > 0.9


def test_either_is_as_often_one_as_the_other() -> None:
    changed = SonographicMass().draw(tissue(n=400, size=16), seeded())["changed"]
    assert (changed != 0).all()
    assert 0.4 < float((changed > 0).float().mean()) < 0.6


def test_a_shadow_in_a_volume_follows_the_rows() -> None:
    batch = ImageBatch.of(torch.full((2, 1, 24, 40, 24), LEVEL), spacing_mm=1.0)
    mass = SonographicMass(behind="shadow", centre_jitter_mm=0, **PLAIN, **BEHIND)  # type: ignore[arg-type]
    change = mass(batch, seeded()).change[0, 0]
    assert float(change[12, 30, 12]) > 0.3
    assert float(change[12, 9, 12]) == 0  # towards the probe
    assert float(change[21, 20, 12]) == 0
    assert float(change[12, 20, 21]) == 0
