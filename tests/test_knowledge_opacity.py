"""Laws of the opacities and of the infarct: what they keep, and where they lie."""

from __future__ import annotations

import pytest
import torch

from makers import seeded
from midclass import ImageBatch
from midclass.knowledge import brush
from midclass.knowledge.brush import BrushStrokes
from midclass.knowledge.gamma_opacity import GammaOpacity
from midclass.knowledge.opacity import Opacity
from midclass.knowledge.patchy_noise import PatchyNoise
from midclass.knowledge.territory import InfarctTerritory


def ribs(n: int = 12) -> ImageBatch:
    """Bright stripes on dark lungs; 64 x 64 samples of 3 mm."""
    row = 0.25 + 0.15 * (torch.arange(64) % 8 < 3)
    return ImageBatch.of(row.view(1, 1, 64, 1).expand(n, 1, 64, 64).clone(), spacing_mm=3.0)


def brain(n: int = 12) -> ImageBatch:
    """A disc of fine texture in air, off the middle of the image."""
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    anatomy = ((y - 30).square() + (x - 36).square()).sqrt() < 24
    pixels = torch.where(anatomy, 0.5 + 0.05 * torch.randn(n, 1, 64, 64, generator=seeded()), 0.0)
    return ImageBatch.of(pixels.clamp(0, 1), anatomy.expand(n, 1, 64, 64).clone(), 3.0)


def stripes_left(before: ImageBatch, after: torch.Tensor, change: torch.Tensor) -> float:
    """Contrast of neighbouring rows where much changed, as a share of what it was."""
    both = (change[..., 1:, :] > 0.9) & (change[..., :-1, :] > 0.9)
    steps = [pixels.diff(dim=2)[both].abs().mean() for pixels in (after, before.pixels)]
    return float(steps[0] / steps[1])


class TestGammaOpacity:
    def test_ribs_are_still_seen_through_it_and_no_more_through_consolidation(self) -> None:
        batch = ribs()
        kept = GammaOpacity(gamma=(0.3, 0.3))(batch, seeded())
        lost = Opacity(strength=(0.8, 0.8))(batch, seeded())
        assert stripes_left(batch, kept.pixels, kept.change) > 0.6
        assert stripes_left(batch, lost.pixels, lost.change) < 0.5

    def test_the_order_of_grey_levels_stays_in_one_depth_and_the_deepest_changes_most(self) -> None:
        flat = ImageBatch.of(torch.full((8, 1, 64, 64), 0.4))
        opacity = GammaOpacity(gamma=(0.25, 0.25), extent=(0.5, 0.5), roughness=(0, 0))
        middle = opacity(flat, seeded())
        deepest = middle.pixels.flatten(1).amax(1)
        torch.testing.assert_close(deepest, torch.full((8,), 0.4**0.25), rtol=0.05, atol=0)
        faint = (middle.change > 0) & (middle.change < 0.5)
        assert (middle.pixels - 0.4)[faint].mean() < 0.2 * (deepest.mean() - 0.4)

    def test_above_one_it_is_darker(self) -> None:
        batch = ribs()
        darker = GammaOpacity(gamma=(1.5, 3.0))(batch, seeded())
        assert (darker.pixels <= batch.pixels + 1e-6).all()
        assert (darker.severity > 0).all()


class TestBrushStrokes:
    def test_as_many_strokes_are_painted_as_were_drawn(self) -> None:
        batch, strokes = ribs(24), BrushStrokes()
        params = strokes.draw(batch, seeded())
        assert (int(params["strokes"].min()), int(params["strokes"].max())) == (1, 14)
        few, many = (
            strokes.apply(batch, {**params, "strokes": torch.full((24,), n)}).change.mean()
            for n in (1, 14)
        )
        assert many > 1.5 * few

    def test_nothing_gets_darker_nor_brighter_than_soft_tissue(self) -> None:
        ramp = ImageBatch.of(torch.linspace(0, 1, 64).expand(6, 1, 64, 64).clone(), spacing_mm=3.0)
        middle = BrushStrokes(strength=(1, 1))(ramp, seeded())
        assert (middle.pixels >= ramp.pixels - 1e-6).all()
        changed = (middle.pixels - ramp.pixels) > 1e-3
        assert changed.any()
        assert middle.pixels[changed].max() <= 0.87  # the 85th percentile

    def test_strokes_begin_and_end_in_the_anatomy(self) -> None:
        anatomy = torch.zeros(6, 1, 32, 32, dtype=torch.bool)
        anatomy[:3, :, 4:9, 20:30] = anatomy[3:, :, 20:30, 2:12] = True
        places = brush._places(anatomy, torch.rand(6, 200, generator=seeded()))
        inside = anatomy[torch.arange(6)[:, None], 0, places[..., 0], places[..., 1]]
        assert inside.all()
        assert len(set(map(tuple, places[0].tolist()))) > 40  # of its 50 samples


class TestPatchyNoise:
    @pytest.mark.parametrize(("sign", "way"), [("bright", 1), ("dark", -1)])
    def test_clumps_are_as_strong_as_asked(self, sign: str, way: int) -> None:
        flat = ImageBatch.of(torch.full((16, 1, 64, 64), 0.5))
        noise = PatchyNoise(sign=sign, amplitude=(0.3, 0.3))  # type: ignore[arg-type]
        added = way * (noise(flat, seeded()).pixels - 0.5)
        assert added.min() > -1e-6
        assert 0.25 < added.flatten(1).amax(1).median() <= 0.3 + 1e-6

    def test_coarser_grain_makes_fewer_steps(self) -> None:
        flat = ImageBatch.of(torch.full((16, 1, 96, 96), 0.5))
        steps = []
        for grain in (0.01, 0.05):
            added = PatchyNoise(grain=(grain, grain))(flat, seeded()).pixels - 0.5
            steps.append(float(added.diff(dim=3).abs().sum() / added.abs().sum()))
        assert steps[1] < 0.6 * steps[0]


class TestInfarctTerritory:
    def test_it_stays_on_one_side_and_reaches_the_surface(self) -> None:
        batch = brain(24)
        change = InfarctTerritory(edge_mm=(2, 2))(batch, seeded()).change[:, 0]
        left, right = change[..., :34].flatten(1).sum(1), change[..., 38:].flatten(1).sum(1)
        assert (torch.minimum(left, right) < 0.02 * torch.maximum(left, right)).all()
        assert min(int((left > right).sum()), int((right > left).sum())) > 4
        y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
        rim = batch.anatomy[0, 0] & (((y - 30).square() + (x - 36).square()).sqrt() > 22)
        assert ((change * rim).flatten(1).amax(1) > 0.8).all()

    def test_its_detail_is_lost_and_its_mean_falls_by_the_contrast(self) -> None:
        batch = brain()
        infarct = InfarctTerritory(contrast_sigma=(2, 2), detail=(0.8, 0.8))
        middle = infarct(batch, seeded())
        inside = middle.change > 0.95
        fallen = (batch.pixels - middle.pixels)[inside].mean()
        assert float(fallen) == pytest.approx(2 * 0.05, rel=0.15)
        assert middle.pixels[inside].std() < 0.5 * batch.pixels[inside].std()
        bright = InfarctTerritory(sign="bright", detail=(0, 0))(batch, seeded())
        assert (bright.pixels >= batch.pixels - 1e-6).all()

    def test_a_wider_angle_takes_more_of_the_brain(self) -> None:
        batch = brain(24)
        narrow, wide = (
            InfarctTerritory(angle_deg=(a, a))(batch, seeded()).change.mean() for a in (30, 90)
        )
        assert wide > 1.8 * narrow
