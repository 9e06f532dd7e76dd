import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydantic import BaseModel, ConfigDict, ValidationError
from scipy import ndimage, stats
from sklearn.datasets import load_sample_images

from graft.augmentation import GREY, OPERATIONS, _hash, augment, views
from graft.config.augment import Augment, TestTime
from graft.problems import describe
from tests.unit.sources import published

CLASSES = 10
OPTIONS: dict[str, Any] = {
    "flip": True,
    "crop": 4,
    "resized_crop": [0.5, 1.0],
    "randaugment": {"number": 2, "magnitude": 9.0},
    "erase": 0.5,
    "mixup": 0.2,
    "cutmix": 1.0,
}
MIXING = ("mixup", "cutmix")


def changed(images: np.ndarray, rng: int | np.random.Generator = 0, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels after these options, each image of the class of its row."""
    rows, classes = np.arange(len(images)), max(CLASSES, len(images))
    sample = {"rows": rows, "number_of_pass": 0, "seed": 0}
    return augment(images, rows, classes, np.random.default_rng(rng), **sample | options)


def photos(size: int = 32, count: int = 64) -> np.ndarray:
    return published.crops(size, count, CLASSES).images


def negatives(count: int = 2) -> np.ndarray:
    """A photo, not square, and its negative, which differs in every value, in turn."""
    photo = photos(32, 1)[:, :24]
    return np.concatenate([photo, 255 - photo] * (count // 2))


def likely(count: int, of: int, probability: float) -> bool:
    """Whether a count is one of the 99.99% most likely."""
    low, high = stats.binom.interval(0.9999, of, probability)
    return bool(low <= count <= high)


def alike(counts: list[int]) -> bool:
    return bool(stats.chisquare(counts).pvalue > 1e-3)


# -- what holds of every option ------------------------------------------------------------------------------------------


@given(
    st.sets(st.sampled_from(sorted(OPTIONS))),
    st.tuples(st.integers(1, 5), st.integers(1, 9), st.integers(1, 9)),
    st.integers(0, 99),
)
def test_shapes_and_kinds_stay_and_labels_are_shares_if_images_mix(
    names: set[str], shape: tuple[int, int, int], seed: int
) -> None:
    n, height, width = shape
    images, labels = changed(photos(16, n)[:, :height, :width], seed, **{name: OPTIONS[name] for name in names})
    assert images.shape == (n, height, width, 3)
    assert images.dtype == np.uint8
    if names.isdisjoint(MIXING):
        assert labels.tolist() == list(range(n))
    else:
        assert labels.shape == (n, CLASSES)
        assert labels.dtype == np.float32
        np.testing.assert_allclose(labels.sum(axis=1), 1, rtol=1e-6)
        assert labels.min() >= 0


@pytest.mark.parametrize("name", OPTIONS)
def test_equal_generators_give_equal_bytes_and_others_do_not(name: str) -> None:
    option = {name: OPTIONS[name]}
    one, again, other = (changed(photos(), seed, **option) for seed in (1, 1, 2))
    assert [array.tobytes() for array in one] == [array.tobytes() for array in again]
    assert one[0].tobytes() != other[0].tobytes()


def test_options_are_applied_one_after_another() -> None:
    together, step_by_step = np.random.default_rng(3), np.random.default_rng(3)
    expected = photos()
    for name, value in OPTIONS.items():
        if name not in MIXING:
            expected, labels = changed(expected, step_by_step, **{name: value})
    expected, labels = changed(expected, step_by_step, **{name: OPTIONS[name] for name in MIXING})
    images, shares = changed(photos(), together, **OPTIONS)
    assert np.array_equal(images, expected)
    assert np.array_equal(shares, labels)


def test_images_that_must_not_be_written_to_stay_as_they_are(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", photos())
    images = np.load(tmp_path / "images.npy", mmap_mode="r")
    for names in ([name] for name in OPTIONS), [list(OPTIONS)]:
        for some in names:
            changed(images, **{name: OPTIONS[name] for name in some})
    list(views(images, ["flip", "shift"]))
    assert np.array_equal(np.load(tmp_path / "images.npy"), photos())


def test_without_options_nothing_changes() -> None:
    images, labels = changed(photos())
    assert np.array_equal(images, photos())
    assert labels.tolist() == list(range(64))


# -- flip ----------------------------------------------------------------------------------------------------------------


def flips(images: np.ndarray, **options: Any) -> np.ndarray:
    """Which images are mirrored; all others are as they were."""
    mirrored, _ = changed(images, **options)
    is_mirror = (mirrored == images[:, :, ::-1]).all(axis=(1, 2, 3))
    assert ((mirrored == images).all(axis=(1, 2, 3)) != is_mirror).all()
    return is_mirror


@pytest.mark.parametrize("flip", [True, "alternate"])
def test_a_flip_mirrors_half_of_the_images(flip: Any) -> None:
    images = photos(16, 1500)[:, :12]
    assert likely(int(flips(images, flip=flip).sum()), 1500, 0.5)


def test_an_alternating_flip_mirrors_each_image_in_every_other_pass() -> None:
    passes = [flips(photos(), flip="alternate", number_of_pass=number, rng=number) for number in range(4)]
    assert np.array_equal(passes[1], ~passes[0])
    assert np.array_equal(passes[2], passes[0])
    assert np.array_equal(passes[3], passes[1])


def test_an_alternating_flip_follows_sample_and_seed_wherever_the_sample_stands() -> None:
    order = np.random.default_rng(0).permutation(64)
    assert np.array_equal(
        flips(photos()[order], flip="alternate", rows=order), flips(photos(), flip="alternate")[order]
    )
    assert not np.array_equal(flips(photos(), flip="alternate", seed=1), flips(photos(), flip="alternate"))


def test_samples_are_hashed_as_splitmix64_draws() -> None:
    """Outputs of the published C code for the seed 1234567."""
    drawn = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821]
    assert _hash(np.arange(5), 1234567).tolist() == drawn


# -- crops ---------------------------------------------------------------------------------------------------------------


def surrounded(image: np.ndarray, pixels: int, fill: str) -> np.ndarray:
    """An image with so many more pixels on each side, by the rule of each index."""
    places = [np.arange(-pixels, side + pixels) for side in image.shape[:2]]
    outside = [(place < 0) | (place >= side) for place, side in zip(places, image.shape, strict=False)]
    periods = [max(2 * side - 2, 1) for side in image.shape[:2]]
    folded = [
        np.minimum(place % period, period - place % period) for place, period in zip(places, periods, strict=True)
    ]
    padded = image[np.ix_(*folded)]
    if fill == "zero":
        padded[np.logical_or.outer(*outside)] = 0
    return padded


@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.integers(1, 9),
    st.sampled_from(["reflect", "zero"]),
    st.integers(0, 99),
)
def test_a_crop_is_a_window_of_the_padded_image(shape: tuple[int, int], pixels: int, fill: str, seed: int) -> None:
    height, width = shape
    images = photos(16, 3)[:, :height, :width]
    for image, cropped in zip(images, changed(images, seed, crop=pixels, crop_fill=fill)[0], strict=True):
        padded = surrounded(image, pixels, fill)
        corners = itertools.product(range(2 * pixels + 1), repeat=2)
        assert any(np.array_equal(cropped, padded[y : y + height, x : x + width]) for y, x in corners)


def test_every_window_is_as_likely() -> None:
    images = np.repeat(photos(8, 1), 2000, axis=0)
    windows, counts = np.unique(changed(images, crop=2)[0], axis=0, return_counts=True)
    assert len(windows) == 25
    assert alike(counts.tolist())


def ramp(size: int, count: int) -> np.ndarray:
    """Images whose red says how far right a pixel is, and whose green how far down."""
    image = np.zeros((size, size, 3), np.uint8)
    image[..., 0], image[..., 1] = np.arange(size), np.arange(size)[:, None]
    return np.repeat(image[None], count, axis=0)


def test_a_resized_crop_has_the_share_and_the_aspect_asked_for() -> None:
    resized = changed(ramp(128, 300), resized_crop=[0.25, 0.75])[0].astype(int)
    wide, high = np.ptp(resized[:, 0, :, 0], axis=1) + 1, np.ptp(resized[:, :, 0, 1], axis=1) + 1
    share, aspect = wide * high / 128**2, wide / high
    assert stats.kstest(share, stats.uniform(0.25, 0.5).cdf).pvalue > 1e-3
    assert stats.kstest(np.log(aspect), stats.uniform(np.log(3 / 4), np.log(16 / 9)).cdf).pvalue > 1e-3


def test_resized_crops_lie_anywhere() -> None:
    left, top = changed(ramp(128, 300), resized_crop=[0.25, 0.25])[0][:, 0, 0, :2].T / 64
    for edge in (left, top):
        assert edge.min() < 0.05
        assert edge.max() > 0.95
    assert abs(np.corrcoef(left, top)[0, 1]) < 0.25


def test_a_crop_of_a_whole_square_is_the_image() -> None:
    assert np.array_equal(changed(photos(), resized_crop=[1.0, 1.0])[0], photos())


def test_a_crop_of_all_of_a_long_image_is_the_image() -> None:
    long = photos()[:, :8]
    assert np.array_equal(changed(long, resized_crop=[1.0, 1.0])[0], long)


# -- RandAugment ---------------------------------------------------------------------------------------------------------

PHOTO = np.asarray(load_sample_images().images[0][:331, :331])


def operated(name: str, strength: float, image: np.ndarray = PHOTO) -> np.ndarray:
    return np.asarray(OPERATIONS[name](Image.fromarray(image), strength)).astype(int)


def turned(image: np.ndarray) -> np.ndarray:
    """The image whose rows are the columns of another one."""
    return np.ascontiguousarray(image.transpose(1, 0, 2))


def test_the_operations_are_those_of_the_paper() -> None:
    listed = "identity autocontrast equalize rotate solarize color posterize contrast brightness sharpness"
    assert list(OPERATIONS) == [*listed.split(), "shear_x", "shear_y", "translate_x", "translate_y"]


@pytest.mark.parametrize("name", sorted(OPERATIONS.keys() - {"autocontrast", "equalize"}))
def test_the_magnitude_zero_changes_nothing(name: str) -> None:
    assert np.array_equal(operated(name, 0.0), PHOTO)


@pytest.mark.parametrize(
    ("name", "strength", "expected"),
    [
        ("solarize", 1, 255 - PHOTO.astype(int)),
        ("solarize", -0.5, np.where(PHOTO < 128, PHOTO, 255 - PHOTO)),
        ("posterize", 1, PHOTO & 0b11110000),
        ("posterize", -0.5, PHOTO & 0b11111100),
        ("brightness", 1, np.minimum(PHOTO * 1.9, 255)),
        ("brightness", -1, PHOTO * 0.1),
        ("color", -1, 0.1 * PHOTO + 0.9 * (PHOTO @ [0.299, 0.587, 0.114])[..., None]),
        ("contrast", -1, 0.1 * PHOTO + 0.9 * (PHOTO @ [0.299, 0.587, 0.114]).mean()),
    ],
    ids=lambda value: str(value) if not isinstance(value, np.ndarray) else "",
)
def test_colours_change_as_their_formula_says(name: str, strength: float, expected: np.ndarray) -> None:
    assert np.abs(operated(name, strength) - expected).max() <= 1.5


@pytest.mark.parametrize("name", ["autocontrast", "equalize"])
def test_colours_are_spread_over_all_values(name: str) -> None:
    spread = operated(name, 0.9)
    assert spread.min(axis=(0, 1)).tolist() == [0, 0, 0]
    assert spread.max(axis=(0, 1)).tolist() == [255, 255, 255]


def test_sharpness_sharpens_or_blurs() -> None:
    contours = [np.abs(np.diff(operated("sharpness", strength), axis=0)).mean() for strength in (-1, 0, 1)]
    assert contours == sorted(contours)
    assert contours[2] > 1.5 * contours[0]


@pytest.mark.parametrize("strength", [1, -1])
def test_a_translation_of_all_that_the_paper_allows_is_150_of_331_pixels(strength: int) -> None:
    moved = operated("translate_x", strength)
    kept, filled = (moved[:, :181], moved[:, 181:]) if strength > 0 else (moved[:, 150:], moved[:, :150])
    assert np.array_equal(kept, PHOTO[:, 150:] if strength > 0 else PHOTO[:, :181])
    assert (filled == GREY).all()
    assert np.array_equal(operated("translate_y", strength, turned(PHOTO)), turned(moved))


@pytest.mark.parametrize("strength", [1, -0.5])
def test_shears_and_rotations_are_those_of_scipy(strength: float) -> None:
    by = 0.3 * strength
    sheared = ndimage.affine_transform(
        PHOTO.astype(float), [[1, 0, 0], [by, 1, 0], [0, 0, 1]], offset=[0, by / 2, 0], order=1, cval=128
    )
    rotated = ndimage.rotate(PHOTO.astype(float), 30 * strength, reshape=False, order=1, cval=128)
    for name, expected in (("shear_x", sheared), ("rotate", rotated)):
        assert np.quantile(np.abs(operated(name, strength) - expected), 0.99) <= 1.5  # borders are filled differently
    assert np.array_equal(operated("shear_y", strength, turned(PHOTO)), turned(operated("shear_x", strength)))


def outcomes(image: np.ndarray, magnitude: float) -> dict[bytes, tuple[str, int]]:
    """What each operation makes of an image, either way."""
    return {
        np.asarray(operation(Image.fromarray(image), sign * magnitude / 10)).tobytes(): (name, sign)
        for sign in (1, -1)
        for name, operation in OPERATIONS.items()
    }


def test_each_operation_is_as_likely_and_either_way() -> None:
    image = PHOTO[96:112, 96:112]
    table = outcomes(image, 4)
    drawn = [
        table[one.tobytes()] for one in changed(np.stack([image] * 1400), randaugment={"number": 1, "magnitude": 4})[0]
    ]
    assert alike([sum(name == one for one, _ in drawn) for name in OPERATIONS])
    signs = [sign for name, sign in drawn if name == "rotate"]
    assert likely(signs.count(1), len(signs), 0.5)


def test_operations_follow_each_other() -> None:
    image = PHOTO[96:112, 96:112]
    pairs: set[bytes] = set()
    for first in outcomes(image, 9):
        pairs |= outcomes(np.frombuffer(first, np.uint8).reshape(image.shape), 9).keys()
    made = {one.tobytes() for one in changed(np.stack([image] * 64), randaugment={"number": 2, "magnitude": 9})[0]}
    assert made <= pairs
    assert len(made) > 40


# -- erase ---------------------------------------------------------------------------------------------------------------


def box(mask: np.ndarray) -> tuple[int, int]:
    """Height and width of the rectangle that a mask is."""
    lines = mask.any(axis=1), mask.any(axis=0)
    assert np.array_equal(mask, np.logical_and.outer(*lines))
    assert all((np.diff(np.flatnonzero(line)) == 1).all() for line in lines)
    return int(lines[0].sum()), int(lines[1].sum())


@pytest.mark.parametrize("probability", [0.25, 1.0])
def test_so_many_images_lose_a_rectangle(probability: float) -> None:
    images = photos(64, 600)
    erased = changed(images, erase=probability)[0]
    masks = (erased != images).any(axis=3)
    hit = masks.any(axis=(1, 2))
    assert likely(int(hit.sum()), 600, probability)
    high, wide = np.array([box(mask) for mask in masks[hit]]).T
    share, aspect = wide * high / 64**2, wide / high
    assert 0.015 < share.min() < 0.05
    assert 0.35 < share.max() < 0.41
    assert stats.kstest(share, stats.uniform(0.02, 0.38).cdf).pvalue > 1e-3
    assert 0.25 < aspect.min() < 0.4
    assert 2.5 < aspect.max() < 4


def test_what_is_erased_has_random_values() -> None:
    images = photos(64, 50)
    erased = changed(images, erase=1.0)[0]
    values = erased[(erased != images).any(axis=3)]
    assert alike(np.bincount(values.ravel(), minlength=256).tolist())


def test_what_is_erased_may_have_the_mean_colour_of_its_image() -> None:
    images = np.concatenate([negatives(), 255 - negatives()])
    for image, one in zip(images, changed(images, erase=1.0, erase_fill="mean")[0], strict=True):
        values = np.unique(one[(one != image).any(axis=2)], axis=0)
        assert values.tolist() == [np.rint(image.reshape(-1, 3).mean(axis=0)).tolist()]


# -- mixtures ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.2, 1.0, 20.0])
def test_mixup_adds_images_and_labels_in_equal_shares(alpha: float) -> None:
    images = photos(16, 32)
    for seed in range(20):
        mixed, labels = changed(images, seed, mixup=alpha)
        assert np.abs(mixed - np.tensordot(labels, images, 1)).max() <= 0.501  # a label is the row of an image
        np.testing.assert_allclose(labels.sum(axis=0), 1, rtol=1e-6)
        assert len(np.unique(labels)) <= 4  # none, both shares, and all of an image mixed with itself


@pytest.mark.parametrize("alpha", [0.2, 1.0, 5.0])
def test_the_shares_of_mixup_have_the_moments_of_the_beta_distribution(alpha: float) -> None:
    shares = [changed(photos(8, 16), seed, mixup=alpha)[1].diagonal().min() for seed in range(1000)]
    assert np.mean(shares) == pytest.approx(0.5, abs=0.06)
    assert np.var(shares) == pytest.approx(stats.beta(alpha, alpha).var(), rel=0.15)


@pytest.mark.parametrize("name", MIXING)
def test_every_partner_is_as_likely(name: str) -> None:
    """With an alpha of 20, hardly a share is none or all."""
    met = sum((changed(photos(8, 4), seed, **{name: 20.0})[1][:, :4] > 0).astype(int) for seed in range(400))
    assert all(likely(count, 400, 0.25) for count in met[~np.eye(4, dtype=bool)])


def test_images_of_one_class_stay_in_it() -> None:
    images, sample = photos(8, 4), {"rows": np.arange(4), "number_of_pass": 0, "seed": 0}
    for name in MIXING:
        _, labels = augment(images, np.full(4, 2), 3, np.random.default_rng(0), **sample, **{name: 1.0})
        np.testing.assert_allclose(labels, [[0, 0, 1]] * 4, rtol=1e-6)


def pasted(seed: int) -> tuple[np.ndarray, float]:
    """Where CutMix put other images, the same place in all of a batch, and what share the labels keep."""
    images = negatives(16)
    mixed, labels = changed(images, seed, cutmix=1.0)
    masks = (mixed != images).all(axis=3)
    assert np.array_equal(np.where(masks[..., None], 255 - images, images), mixed)
    with_negative = masks.any(axis=(1, 2))
    if not with_negative.any():
        return masks[0], float(labels.diagonal().min())
    (mask,), (share,) = np.unique(masks[with_negative], axis=0), np.unique(labels.diagonal()[with_negative])
    return mask, float(share)


def test_cutmix_pastes_a_rectangle_and_labels_have_the_share_of_its_pixels() -> None:
    for seed in range(100):
        mask, share = pasted(seed)
        height, width = box(mask)
        assert share == np.float32(1 - height * width / mask.size)


def test_rectangles_of_cutmix_are_as_large_as_the_published_way_makes_them() -> None:
    """That of the paper's supplement: sides of sqrt(1 - lambda), a centre anywhere, cut at the borders."""
    rng = np.random.default_rng(0)
    sides = np.sqrt(1 - rng.uniform(size=20_000)) / 2
    centres = rng.uniform(size=(2, 20_000))
    lengths = np.clip(centres + sides, 0, 1) - np.clip(centres - sides, 0, 1)
    shares = [pasted(seed)[1] for seed in range(300)]
    assert stats.ks_2samp(shares, 1 - lengths.prod(axis=0)).pvalue > 1e-3


def test_of_mixup_and_cutmix_a_batch_has_one_and_each_is_as_likely() -> None:
    images, of_cutmix = negatives(16), 0
    for seed in range(400):
        mixed, _ = changed(images, seed, mixup=20.0, cutmix=1.0)
        of_cutmix += bool(((mixed == images) | (mixed == 255 - images)).all())
    assert likely(of_cutmix, 400, 0.5)


@pytest.mark.parametrize("name", MIXING)
def test_a_single_image_mixes_with_itself(name: str) -> None:
    images, labels = changed(photos(16, 1), **{name: 1.0})
    assert np.array_equal(images, photos(16, 1))
    np.testing.assert_allclose(labels, [[1] + [0] * 9], rtol=1e-6)


# -- views ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("names", "count"), [([], 1), (["flip"], 2), (["shift"], 5), (["flip", "shift"], 10)])
def test_views_are_the_images_shifted_and_mirrored(names: list[str], count: int) -> None:
    images = photos()[:, :24]
    seen = list(views(images, names))
    assert np.array_equal(seen[0], images)
    shifts = [(0, 0), *([(-1, 0), (1, 0), (0, -1), (0, 1)] if "shift" in names else [])]
    expected = [ndimage.shift(images, (0, *by, 0), order=0, mode="mirror") for by in shifts]
    expected = [one for view in expected for one in ([view, view[:, :, ::-1]] if "flip" in names else [view])]
    assert len(seen) == count
    assert all(np.array_equal(one, other) for one, other in zip(seen, expected, strict=True))


def test_views_of_one_pixel_are_that_pixel() -> None:
    assert all(np.array_equal(view, photos(8, 1)[:, :1, :1]) for view in views(photos(8, 1)[:, :1, :1], ["shift"]))


# -- what a study may say ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        *({name: value} for name, value in OPTIONS.items()),
        OPTIONS,
        {"flip": "alternate"},
        {"flip": False},
        {"crop": 4, "crop_fill": "zero"},
        {"erase": 1.0, "erase_fill": "mean"},
    ],
    ids=lambda options: ", ".join(options),
)
def test_what_a_study_says_is_what_is_done(options: dict[str, Any]) -> None:
    dumped = Augment.model_validate(options).dump()
    assert dumped == options
    assert changed(photos(8, 4), **dumped)[0].shape == (4, 8, 8, 3)


ALL = "flip, crop, resized_crop, randaugment, erase, mixup, cutmix"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({}, f"is empty; it needs at least one of {ALL}"),
        ({"mixup": None}, f"is empty; it needs at least one of {ALL}"),
        ({"flip": 1}, "flip: 1 is not allowed; allowed: true, false, alternate"),
        ({"flip": "alternating"}, "flip: 'alternating' is not allowed; allowed: true, false, alternate"),
        ({"crop": 0}, "crop: 0 should be greater than or equal to 1"),
        ({"crop": 10**9}, "crop: 1000000000 should be less than or equal to 256"),
        ({"crop_fill": "zero"}, "crop_fill needs crop"),
        ({"flip": True, "erase_fill": "mean"}, "erase_fill needs erase"),
        ({"resized_crop": [1.0, 0.5]}, "resized_crop: [1.0, 0.5] is not the least and the most share"),
        ({"resized_crop": [0.5]}, "resized_crop: [0.5] is not the least and the most share"),
        ({"resized_crop": [0.0, 1.0]}, "resized_crop[0]: 0.0 should be greater than 0"),
        ({"randaugment": {"number": 2}}, "randaugment.magnitude: is required"),
        ({"randaugment": {"number": 2, "magnitude": 11}}, "randaugment.magnitude: 11 should be less than or equal"),
        ({"erase": 1.1}, "erase: 1.1 should be less than or equal to 1"),
        ({"mixup": 0}, "mixup: 0 should be greater than 0"),
        ({"cutmix": float("inf")}, "cutmix: inf is not a finite number"),
        ({"cutmx": 1.0}, "cutmx: is not a key here; did you mean 'cutmix'?"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said_in_one_line(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError) as error:
        Augment.model_validate(options)
    (line,) = describe(error.value, Augment)
    assert line.startswith(problem)


@pytest.mark.parametrize("alpha", [1e-300, 100.0])
@pytest.mark.parametrize("name", MIXING)
def test_the_most_extreme_alphas_give_shares(name: str, alpha: float) -> None:
    options = Augment.model_validate({name: alpha}).dump()
    assert np.isfinite([changed(photos(8, 2), seed, **options)[1] for seed in range(50)]).all()


class Looks(BaseModel):
    model_config = ConfigDict(strict=True)
    test_time: TestTime


@pytest.mark.parametrize("names", [["flip"], ["flip", "shift"]])
def test_views_are_named(names: list[str]) -> None:
    assert Looks.model_validate({"test_time": names}).test_time == names


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        ([], "test_time: is empty; it needs at least 1"),
        (["flip", "flip"], "test_time: names 'flip' more than once"),
        (["flp"], "test_time[0]: 'flp' is not allowed; did you mean 'flip'?"),
    ],
)
def test_views_that_are_none_are_refused(names: list[str], problem: str) -> None:
    with pytest.raises(ValidationError) as error:
        Looks.model_validate({"test_time": names})
    assert describe(error.value, Looks) == [problem]
