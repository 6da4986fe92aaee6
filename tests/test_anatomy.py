"""Anatomy: phantoms whose truth is known, and real images where they are at hand."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image
from scipy import ndimage as ndi

from makers import dice
from midclass import InputError
from midclass.images import anatomy
from midclass.images.anatomy.base import against_dark, otsu
from midclass.images.anatomy.learned import cut_out, put_back
from midclass.images.anatomy.regions import filled, opened, reaching, without_specks

PLANAR = ["breast", "intracranial", "lungs", "pigmented", "retina", "sonogram"]
CT_SPACING = (235 / 160, 235 / 160)


def between_classes(grey):
    """Half-way between both classes that numpy's histogram of 256 bins sets apart most."""
    counts, edges = np.histogram(grey, 256)
    levels = (edges[1:] + edges[:-1]) / 2
    apart = []
    for split in range(1, 256):
        low, high = counts[:split].sum(), counts[split:].sum()
        middle = [np.average(levels[p], weights=counts[p]) for p in np.s_[:split, split:]]
        apart.append((low * high * (middle[1] - middle[0]) ** 2, sum(middle) / 2))
    return max(apart)[1]


@given(st.integers(0, 10_000), st.floats(0.05, 0.5), st.floats(1e-3, 1e3))
def test_otsu_parts_an_image_where_the_variance_between_both_parts_is_largest(seed, share, scale):
    rng = np.random.default_rng(seed)
    grey = rng.normal(0.3, 0.1, 400)
    grey[: round(400 * share)] += 0.4
    grey = (scale * grey).astype(np.float32)
    assert otsu(grey) == pytest.approx(between_classes(grey), abs=2e-3 * scale)


def test_a_bright_frame_moves_no_threshold_of_what_is_within():
    rng = np.random.default_rng(0)
    framed = (rng.uniform(0, 0.1, (96, 96)) + 0.4 * ellipse(96, (0.5, 0.5), (0.3, 0.3))).astype(
        "f4"
    )
    for line in (np.s_[:3], np.s_[-3:], np.s_[:, :3], np.s_[:, -3:]):
        framed[line] = 1
    within = np.s_[3:-3, 3:-3]
    found = against_dark(framed, share=0.35)
    assert (found[within] == against_dark(framed[within], share=0.35)).all()
    assert 0.2 < found[within].mean() < 0.6


def test_otsu_of_a_constant_image_is_its_value():
    assert otsu(np.full((8, 8), 0.25, np.float32)) == 0.25


def ellipse(size, center, radii):
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    return ((y - center[0]) / radii[0]) ** 2 + ((x - center[1]) / radii[1]) ** 2 <= 1


def image(pixels, blur=0.6, noise=0.02):
    noisy = ndi.gaussian_filter(pixels.astype(float), blur)
    noisy += noise * np.random.default_rng(0).standard_normal(pixels.shape)
    return np.clip(noisy, 0, 1).astype(np.float32)[None]


def head(size=160, gap=0.0):
    """Scalp, skull and brain in 235 mm, a crescent of blood, a gap in the skull (radians)."""
    scalp = ellipse(size, (0.5, 0.5), (0.42, 0.34))
    skull, inside = (ellipse(size, (0.5, 0.5), r) for r in ((0.4, 0.32), (0.37, 0.29)))
    y, x = (np.mgrid[:size, :size] + 0.5) / size - 0.5
    bone = skull & ~inside & (np.abs(np.arctan2(x, y)) >= gap / 2)
    pixels = np.select([bone, inside, scalp], [1.0, 0.45, 0.6], 0.0)
    blood = inside & ~ellipse(size, (0.5, 0.53), (0.4, 0.29))
    pixels[blood] = 0.85
    return image(pixels), inside, blood


def mammogram(size=256):
    """A breast on the left side with a bright label beside it and a strip of film edge."""
    tissue = ellipse(size, (0.5, 0.0), (0.4, 0.55))
    pixels = np.where(tissue, 0.5, 0.0)
    pixels[20:50, 170:200] = pixels[:, -6:] = 1.0
    return image(pixels), tissue


def chest(size=224):
    """Two dark lungs in a bright body."""
    lungs = ellipse(size, (0.52, 0.29), (0.3, 0.15)) | ellipse(size, (0.52, 0.71), (0.3, 0.15))
    body = ellipse(size, (0.6, 0.5), (0.7, 0.47))
    return image(np.select([lungs, body], [0.25, 0.7], 0.0)), lungs


def test_whole_is_everywhere_in_2d_and_3d():
    assert anatomy.whole(np.zeros((2, 5, 6), np.float32), (1.0, 1.0)).all()
    assert anatomy.whole(np.zeros((1, 4, 5, 6), np.float32), (1.0, 1.0, 1.0)).shape == (4, 5, 6)


def test_foreground_finds_the_body_with_its_holes_in_3d():
    z, y, x = np.mgrid[:24, :32, :32]
    distance = np.sqrt((z - 12.0) ** 2 + (y - 16.0) ** 2 + (x - 16.0) ** 2)
    ball = distance < 9
    pixels = image(np.where(ball & (distance > 3), 0.6, 0.0))
    mask = anatomy.foreground(pixels, (1.0, 1.0, 1.0))
    assert mask[ball].all()
    assert not mask[distance > 10.5].any()


@pytest.mark.parametrize("shape", [(120, 120), (24, 60, 60)])
@pytest.mark.parametrize("margin", [0.0, 0.15])
@pytest.mark.parametrize(("tissue", "organs"), [(0.3, 0.3), (0.08, 0.9), (0.15, 0.9)])
@pytest.mark.parametrize("grain", [0.0, 0.01])
def test_on_white_and_on_black_find_the_body_however_strong_its_organs_are(
    shape, margin, tissue, organs, grain
):
    """A scan on paper: a rule that parts dark from bright parts organs from body."""
    sides = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    away = np.sqrt(sum(side**2 for side in sides))
    body = away < 0.9 - margin
    ink = np.where(body, tissue, 0.02) + np.where(away < 0.3, organs - tissue, 0)
    ink += np.random.default_rng(0).normal(0, grain, shape)
    white = (1 - ink.clip(0, 1)).astype(np.float32)[None]
    spacing = (1.0,) * len(shape)
    around = ndi.binary_dilation(body, iterations=3)
    for found in (anatomy.on_white(white, spacing), anatomy.on_black(1 - white, spacing)):
        assert (found & body).sum() > 0.9 * body.sum()
        assert not (found & ~around).any()
    box = anatomy.foreground(white, spacing)
    assert (box & ~around).any()


def test_limbs_hardly_darker_than_paper_are_body():
    """Beside a bladder of full blackness a leg is as flat as a margin."""
    ink = np.zeros((160, 96))
    ink[10:90, 20:76], ink[90:150, 30:66] = 0.15, 0.025
    ink[80:90, 44:52] = 0.95
    found = anatomy.on_white((1 - ink).astype(np.float32)[None], (1.0, 1.0))
    assert found[92:148, 32:64].mean() > 0.9


def test_foreground_ignores_isolated_specks():
    pixels = np.zeros((1, 64, 64), np.float32)
    pixels[0, 10:50, 10:50] = 0.5
    pixels[0, 60, 60] = 1.0
    assert not anatomy.foreground(pixels, (1.0, 1.0))[55:, 55:].any()


MASKS = arrays.arrays(bool, arrays.array_shapes(min_dims=2, max_dims=3, max_side=9))


@given(MASKS)
def test_opening_and_filling_are_those_of_scipy(mask):
    np.testing.assert_array_equal(opened(mask), ndi.binary_opening(mask))
    np.testing.assert_array_equal(filled(mask), ndi.binary_fill_holes(mask))


@given(arrays.arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))), st.booleans())
def test_what_reaches_the_border_is_what_grows_from_there(mask, corners):
    start = np.zeros(mask.shape, bool)
    if corners:
        start[[0, 0, -1, -1], [0, -1, 0, -1]] = True
    else:
        start[[0, -1]] = start[:, [0, -1]] = True
    grown = ndi.binary_propagation(start & mask, mask=mask)
    np.testing.assert_array_equal(reaching(mask, corners=corners), grown)


def test_what_was_cut_out_lies_where_it_was_when_it_is_put_back():
    y, x = np.mgrid[:300, :260].astype(np.float32)
    box = (-20.0, 10.0, 330.0, 360.0)
    for ramp in (y, x):
        back = put_back(cut_out(ramp, box), box, ramp.shape)
        np.testing.assert_allclose(back[10:-10, 20:-10], ramp[10:-10, 20:-10], atol=0.1)
        assert (back[:, :10] < 0).all()  # outside of the square


def test_a_frame_is_dropped_with_the_specks_unless_there_is_nothing_else():
    frame = np.ones((40, 40), bool)
    frame[1:-1, 1:-1] = False
    body = np.zeros_like(frame)
    body[10:30, 12:24] = True
    speck = np.zeros_like(frame)
    speck[35:37, 20:22] = True
    all_of_it = frame | body | speck
    np.testing.assert_array_equal(without_specks(all_of_it, frames=False), body)
    np.testing.assert_array_equal(without_specks(all_of_it), body | frame)
    np.testing.assert_array_equal(without_specks(frame, frames=False), frame)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(
    "name",
    [
        "foreground",
        "on_black",
        "on_white",
        "breast",
        "intracranial",
        "retina",
        "sonogram",
        "pigmented",
    ],
)
def test_a_constant_image_has_no_anatomy(name, value):
    assert not getattr(anatomy, name)(np.full((1, 64, 64), value, np.float32), (1.0, 1.0)).any()


@pytest.mark.parametrize("name", PLANAR)
def test_a_volume_is_refused_where_only_slices_make_sense(name):
    with pytest.raises(InputError, match=rf"anatomy {name} takes 2-D images.*\(1, 4, 8, 8\)"):
        getattr(anatomy, name)(np.zeros((1, 4, 8, 8), np.float32), (1.0, 1.0, 1.0))


def test_a_spacing_of_the_wrong_length_is_refused():
    with pytest.raises(InputError, match="2 numbers"):
        anatomy.foreground(np.zeros((1, 8, 8), np.float32), (1.0, 1.0, 1.0))


@pytest.mark.parametrize("name", ["foreground", "on_black", "on_white", *PLANAR])
def test_the_same_image_gives_the_same_mask_and_is_left_alone(name):
    pixels = chest()[0]
    before, function = pixels.copy(), getattr(anatomy, name)
    first = function(pixels, (1.0, 1.0))
    assert first.dtype == np.bool_
    assert first.shape == pixels.shape[1:]
    assert np.array_equal(first, function(np.repeat(pixels, 3, axis=0), (1.0, 1.0)))
    assert np.array_equal(pixels, before)


@pytest.mark.parametrize(
    ("function", "least"),
    [(anatomy.intracranial, 0.92), (anatomy.intracranial_by_bone, 0.93)],  # one sees 2 mm a pixel
)
@pytest.mark.parametrize("size", [128, 160, 512])
def test_intracranial_is_inside_the_skull_and_keeps_blood_at_the_inner_table(function, least, size):
    pixels, inside, blood = head(size)
    mask = function(pixels, (235 / size, 235 / size))
    assert dice(mask, inside) > 0.97
    assert mask[blood].mean() > least
    outside_mm = ndi.distance_transform_edt(~inside) * 235 / size
    assert outside_mm[mask].max() < 4


def test_intracranial_has_the_same_area_in_mm2_at_two_resolutions():
    areas = [
        anatomy.intracranial(head(n)[0], (235 / n, 235 / n)).sum() * (235 / n) ** 2
        for n in (160, 512)
    ]
    assert areas[0] == pytest.approx(areas[1], rel=0.04)


@pytest.mark.parametrize(
    ("function", "most"), [(anatomy.intracranial, 0.035), (anatomy.intracranial_by_bone, 0.03)]
)
@pytest.mark.parametrize("gap", [0.15, 0.4])
def test_intracranial_survives_an_open_skull(function, most, gap):
    pixels, inside, _ = head(gap=gap)
    mask = function(pixels, CT_SPACING)
    assert dice(mask, inside) > 0.93
    assert (mask & ~inside).sum() < most * inside.sum()


def test_intracranial_is_empty_in_soft_tissue_without_a_skull():
    neck = np.where(ellipse(160, (0.5, 0.5), (0.3, 0.3)), 0.65, 0.0)
    assert not anatomy.intracranial(image(neck), CT_SPACING).any()


def test_breast_leaves_out_the_label_and_the_film_edge():
    pixels, tissue = mammogram()
    mask = anatomy.breast(pixels, (0.8, 0.8))
    assert dice(mask, tissue) > 0.95
    assert not mask[20:50, 170:].any()


@pytest.mark.parametrize("mirrored", [False, True])
def test_breast_leaves_out_a_bright_pectoral_triangle(mirrored):
    pixels, tissue = mammogram()
    tissue[:80, :60] = True
    y, x = np.mgrid[:256, :256]
    muscle = x / 60 + y / 120 < 1
    pixels[0][tissue] = 0.5
    pixels[0][muscle] = 0.85
    turn = slice(None, None, -1 if mirrored else 1)
    mask = anatomy.breast(pixels[:, :, turn], (0.8, 0.8))[:, turn]
    assert mask[muscle].mean() < 0.1
    assert mask[tissue & ~muscle].mean() > 0.9


def test_lungs_cover_both_dark_lungs():
    pixels, truth = chest()
    assert dice(anatomy.lungs(pixels, (1.0, 1.0)), truth) > 0.75


def test_lungs_stay_in_place_when_one_lung_is_white():
    pixels, _ = chest()
    healthy = anatomy.lungs(pixels, (1.0, 1.0))
    pixels[0, 110:190, 120:200] = 0.7
    assert dice(anatomy.lungs(pixels, (1.0, 1.0)), healthy) > 0.85


def load(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("L"), np.float32)[None] / 255


def rows(folder: Path, count: int, **wanted: str) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open() as file:
        found = [r for r in csv.DictReader(file) if all(r[k] == v for k, v in wanted.items())]
    return [found[i] for i in np.linspace(0, len(found) - 1, count).astype(int)]


@pytest.mark.realdata
def test_breast_agrees_with_masks_drawn_by_hand(shared_data):
    folder = shared_data / "mini_mias"
    scores = [
        dice(
            anatomy.breast(load(folder / row["path"]), (0.4, 0.4)),
            load(folder / row["breast_mask_path"])[0] > 0.5,
        )
        for row in rows(folder, 40, label="0")
    ]
    assert np.mean(scores) >= 0.92


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("function", "median", "most"),
    [
        (anatomy.intracranial_by_bone, 0.01, 0.03),
        (anatomy.intracranial, 0.02, 0.06),  # a pixel of 2 mm holds bone and brain
    ],
)
def test_intracranial_of_real_slices_is_brain_and_little_bone(shared_data, function, median, most):
    folder = shared_data / "ct_ich"
    shares, bone = [], []
    for row in rows(folder, 40, label="0", slice="20"):
        pixels = load(folder / row["path"])
        mask = function(pixels, CT_SPACING)
        shares.append(mask.sum() / anatomy.foreground(pixels, CT_SPACING).sum())
        assert mask.any(), row["path"]
        bone.append((pixels[0][mask] >= 0.97).mean())
        assert 0.3 < np.median(pixels[0][mask]) < 0.6, row["path"]
    assert np.median(bone) < median
    assert np.max(bone) < most
    assert np.percentile(shares, 10) > 0.3
    assert np.max(shares) < 0.9


@pytest.mark.realdata
@pytest.mark.parametrize("label", ["0", "1"])
def test_lungs_are_plausible_in_health_and_in_pneumonia(shared_data, label):
    folder = shared_data / "kermany_cxr"
    masks = [
        anatomy.lungs(load(folder / row["path"]), (1.0, 1.0))
        for row in rows(folder, 40, label=label, split="train")
    ]
    halves = [[mask[:, :112].mean(), mask[:, 112:].mean()] for mask in masks]
    assert np.min(halves) > 0.08
    assert np.max(halves) < 0.6
    assert 0.2 < np.mean(halves) < 0.4


def eye(bright, surroundings=0.01, size=300):
    """A round field of some brightness (h, w), cut off above and below, as cameras show it."""
    y, x = (np.mgrid[:size, :size] + 0.5) / size - 0.5
    field = (np.hypot(y, x) < 0.48) & (np.abs(y) < 0.44)
    grey = np.where(field, bright(y, x), surroundings)
    noise = np.random.default_rng(0).normal(0, 0.004, grey.shape)
    red = (ndi.gaussian_filter(grey, 0.6) + noise).clip(0, 1).astype(np.float32)
    return np.stack([red, 0.5 * red, 0.3 * red]), field


@pytest.mark.parametrize(
    ("seen", "bright"),
    [
        ("a healthy eye", lambda y, x: 0.5 + 0 * x),
        ("a small pupil: one side is nearly black", lambda y, x: 0.05 + 0.6 * (x + 0.5) ** 3),
        ("a flash that outshines the eye", lambda y, x: np.where(x > 0.3, 1.0, 0.08)),
        ("a dense cataract", lambda y, x: 0.06 + 0 * x),
    ],
)
def test_a_retina_is_all_of_the_camera_s_field_however_dark(seen, bright):
    pixels, field = eye(bright)
    assert dice(anatomy.retina(pixels, (0.05, 0.05)), field) > 0.98, seen


def test_letters_and_a_glow_beside_the_field_and_a_white_page_around_it_are_no_retina():
    pixels, field = eye(lambda y, x: 0.7 + 0 * x)
    away = ndi.distance_transform_edt(~field)
    glow = np.where(field, 0, 0.06 * np.exp(-away / 15)).astype(np.float32)
    shown = pixels + glow
    shown[:, 4:10, 4:40:3] = 0.8  # letters in a corner
    assert dice(anatomy.retina(shown, (0.05, 0.05)), field) > 0.97
    page = np.ones((3, 340, 380), np.float32)
    page[:, 20:320, 40:340] = pixels
    around = np.zeros((340, 380), bool)
    around[20:320, 40:340] = field
    assert dice(anatomy.retina(page, (0.05, 0.05)), around) > 0.97


def test_a_photograph_that_retina_fills_is_retina_everywhere_and_black_film_nowhere():
    pixels, _ = eye(lambda y, x: 0.3 + 0.3 * x)
    within = np.ascontiguousarray(pixels[:, 80:220, 80:220])
    assert anatomy.retina(within, (0.05, 0.05)).all()
    black, _ = eye(lambda y, x: 0.01 + 0 * x)
    assert not anatomy.retina(black, (0.05, 0.05)).any()


@pytest.mark.parametrize("paper", [1.0, 0.8])
def test_a_page_with_letters_around_an_image_is_no_body(paper: float) -> None:
    """Exported radiographs stand on white pages, with a side and a date above and below them."""
    rng = np.random.default_rng(0)
    page = np.full((160, 160), paper, np.float32)
    body = ellipse(100, (0.5, 0.5), (0.4, 0.3))
    page[30:130, 30:130] = image(0.5 * body)[0]
    for top in (8, 142):
        letters = rng.random((9, 36)) < 0.4
        page[top : top + 9, 20:56][letters] = 0.0
    found = anatomy.foreground(page[None], (1.0, 1.0))
    truth = np.zeros_like(found)
    truth[30:130, 30:130] = body
    assert dice(found, truth) > 0.95
    assert not found[:30].any()
    assert not found[130:].any()


@pytest.mark.parametrize("trachea", [0.08, 0.05, 0.03, 0.02])
def test_an_even_body_that_reaches_the_border_is_not_peeled_through_what_is_dark_in_it(
    trachea: float,
) -> None:
    """Lung window: the chest wall is white up to the border, and air in it is no letter."""
    pixels = np.ones((160, 160), np.float32)
    pixels[ellipse(160, (0.12, 0.5), (trachea, 0.04))] = 0.2
    for x in (0.3, 0.7):
        pixels[ellipse(160, (0.6, x), (0.3, 0.15))] = 0.15
    noise = 0.02 * np.random.default_rng(0).standard_normal(pixels.shape)
    found = anatomy.foreground((pixels - np.abs(noise)).astype(np.float32)[None], (1.0, 1.0))
    assert found[34:44, 30:130].all()  # between the trachea and the lungs
