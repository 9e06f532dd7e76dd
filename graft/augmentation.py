"""Batches of training images, changed at random; and the views of an image that a prediction is the mean of.

Images are uint8 (n, height, width, 3), rows of pixels from the top, and stay as they are where they come from. All that
is random comes from a generator made by the caller, so a batch is found again from what that generator is made of.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image, ImageEnhance, ImageOps

GREY = (128, 128, 128)


def augment(
    images: np.ndarray,
    labels: np.ndarray,
    classes: int,
    rng: np.random.Generator,
    *,
    rows: np.ndarray,
    number_of_pass: int,
    seed: int,
    flip: bool | str = False,
    crop: int | None = None,
    crop_fill: str = "reflect",
    resized_crop: Sequence[float] | None = None,
    randaugment: Mapping[str, Any] | None = None,
    erase: float | None = None,
    erase_fill: str = "random",
    mixup: float | None = None,
    cutmix: float | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """A batch of images, changed by the options that are given in their order, and its labels.

    ``labels`` (n,) are whole numbers below ``classes``. They are returned as they are, or, with ``mixup`` or ``cutmix``,
    as float32 (n, classes): the share of each class in an image. ``rows`` (n,) tell the samples apart and, with the number
    of the pass over the data and ``seed``, decide ``flip: alternate``; nothing else depends on them.

    - ``flip``: mirrors an image left to right with probability 1/2 (Krizhevsky et al., NIPS 2012, section 4.1);
      ``alternate`` mirrors half of the samples in one pass and the other half in the next (Jordan, arXiv 2404.00498,
      section 3.6).
    - ``crop``: a window of the image's size, out of the image with so many more pixels on each side (He et al., CVPR 2016,
      section 4.2); ``crop_fill`` says what these show: ``reflect`` (the image, mirrored) or ``zero`` (black).
    - ``resized_crop``: a rectangle whose share of the image lies evenly between these two, its width 3/4 to 4/3 of its
      height, resized to the image (Szegedy et al., CVPR 2015, section 6).
    - ``randaugment``: ``number`` operations of ``magnitude`` 0 to 10, drawn with replacement (Cubuk et al., arXiv
      1909.13719, section 3).
    - ``erase``: with this probability, a rectangle of 0.02 to 0.4 of the image and aspect 0.3 to 1/0.3 is filled (Zhong et
      al., arXiv 1708.04896, algorithm 1); ``erase_fill`` is ``random`` pixels or the ``mean`` colour of the image.
    - ``mixup``: images and labels are added, those of a batch shuffled to the batch, in shares from Beta(alpha, alpha),
      one draw a batch (Zhang et al., arXiv 1710.09412, section 2).
    - ``cutmix``: a rectangle of the batch shows the batch shuffled; its share of the image before it is cut at the borders
      comes from Beta(alpha, alpha), and the labels have the share of the pixels (Yun et al., arXiv 1905.04899, section
      3.1). With ``mixup`` too, each batch has one of the two, either with probability 1/2.
    """
    if flip:
        mirrored = _alternates(rows, number_of_pass, seed) if flip == "alternate" else rng.random(len(images)) < 0.5
        images = _flipped(images, mirrored)
    if crop:
        images = _cropped(images, crop, crop_fill, rng)
    if resized_crop:
        images = _resized_crops(images, resized_crop, rng)
    if randaugment:
        images = _randaugmented(images, rng, **randaugment)
    if erase:
        images = _erased(images, erase, erase_fill, rng)
    mixing = [(mix, alpha) for mix, alpha in ((_mixup, mixup), (_cutmix, cutmix)) if alpha]
    if mixing:
        mix, alpha = mixing[rng.integers(len(mixing))]
        partner = rng.permutation(len(images))
        images, share = mix(images, partner, alpha, rng)
        labels = _shares(labels, labels[partner], share, classes)
    return images, labels


def views(images: np.ndarray, names: Collection[str]) -> Iterator[np.ndarray]:
    """The images as they are, and what else a prediction at test time looks at, each of the images' shape.

    ``shift`` adds the images one pixel further up, down, left and right, the border reflected; ``flip`` adds the mirror
    image of each of these and of the images (after Jordan, arXiv 2404.00498, section 3.5, who shifts along a diagonal).
    """
    height, width = images.shape[1:3]
    padded = _padded(images, 1, "reflect")
    corners = [(1, 1), *([(2, 1), (0, 1), (1, 2), (1, 0)] if "shift" in names else [])]
    for top, left in corners:
        view = padded[:, top : top + height, left : left + width]
        yield view
        if "flip" in names:
            yield view[:, :, ::-1]


# -- flips ---------------------------------------------------------------------------------------------------------------


def _flipped(images: np.ndarray, mirrored: np.ndarray) -> np.ndarray:
    """The images, those ``mirrored`` (n,) left to right."""
    flipped, chosen = np.array(images), images[mirrored]
    for colour in range(3):  # NumPy copies single bytes backwards much faster than pixels
        flipped[mirrored, :, :, colour] = chosen[:, :, ::-1, colour]
    return flipped


def _alternates(rows: np.ndarray, number_of_pass: int, seed: int) -> np.ndarray:
    """Which rows are mirrored in a pass: those whose hash is odd in every other one, the rest in between."""
    odd: np.ndarray = (_hash(rows, seed) + np.uint64(number_of_pass)) % np.uint64(2) == 1
    return odd


def _hash(rows: np.ndarray, seed: int) -> np.ndarray:
    """Random numbers uint64 (n,): those numbered ``rows``, from 0, of SplitMix64 (Steele et al., OOPSLA 2014, figure 17)."""
    mixed = np.uint64(seed) + (rows.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    hashed: np.ndarray = mixed ^ (mixed >> np.uint64(31))
    return hashed


# -- crops ---------------------------------------------------------------------------------------------------------------


def _padded(images: np.ndarray, pixels: int, fill: str) -> np.ndarray:
    around = ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0))
    return np.pad(images, around, mode="constant" if fill == "zero" else "reflect")


def _cropped(images: np.ndarray, pixels: int, fill: str, rng: np.random.Generator) -> np.ndarray:
    top, left = rng.integers(2 * pixels + 1, size=(2, len(images)))
    windows = sliding_window_view(_padded(images, pixels, fill), images.shape[1:], axis=(1, 2, 3))
    cropped: np.ndarray = windows[np.arange(len(images)), top, left, 0]
    return cropped


def _rectangles(
    count: int, shape: Sequence[int], share: Sequence[float], aspect: Sequence[float], rng: np.random.Generator
) -> list[list[int]]:
    """Top, left, height and width of so many rectangles of whole pixels within an image of ``shape``.

    Their share of its area lies evenly in a range, and so does the logarithm of their aspect, width by height, in as much
    of its range as fits the image at that area.
    """
    height, width = shape
    area = rng.uniform(share[0], share[1], count) * height * width
    fits = np.log(area / height**2), np.log(width**2 / area)
    least, most = (np.clip(np.log(end), *fits) for end in aspect)
    root = np.exp(rng.uniform(least, most) / 2)
    high = np.clip(np.rint(np.sqrt(area) / root), 1, height).astype(int)
    wide = np.clip(np.rint(np.sqrt(area) * root), 1, width).astype(int)
    top, left = rng.integers(height - high + 1), rng.integers(width - wide + 1)
    rectangles: list[list[int]] = np.transpose([top, left, high, wide]).tolist()
    return rectangles


def _resized_crops(images: np.ndarray, share: Sequence[float], rng: np.random.Generator) -> np.ndarray:
    height, width = images.shape[1:3]
    resized = np.empty_like(images)
    rectangles = _rectangles(len(images), (height, width), share, (3 / 4, 4 / 3), rng)
    for row, (top, left, high, wide) in enumerate(rectangles):
        box = (left, top, left + wide, top + high)
        resized[row] = Image.fromarray(images[row]).resize((width, height), Image.Resampling.BILINEAR, box)
    return resized


def _erased(images: np.ndarray, probability: float, fill: str, rng: np.random.Generator) -> np.ndarray:
    erased = np.array(images)
    chosen = np.flatnonzero(rng.random(len(images)) < probability)
    places = _rectangles(len(chosen), images.shape[1:3], (0.02, 0.4), (0.3, 1 / 0.3), rng)
    for row, (top, left, high, wide) in zip(chosen, places, strict=True):
        inside = erased[row, top : top + high, left : left + wide]
        if fill == "mean":
            inside[:] = images[row].mean(axis=(0, 1)).round()
        else:
            inside[:] = rng.integers(256, size=inside.shape, dtype=np.uint8)
    return erased


# -- RandAugment ---------------------------------------------------------------------------------------------------------


def _affine(image: Image.Image, *matrix: float) -> Image.Image:
    """The image whose pixel (x, y) is that at (ax + by + c, dx + ey + f) of ``image``, grey where that is outside."""
    return image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR, fillcolor=GREY)


# By name as the paper lists them, of strengths from -1 to 1: at 0 an image stays as it is, but for the first two after the
# identity, and at the ends it changes as much as in the table of operations of AutoAugment (arXiv 1805.09501, appendix),
# whose images have 331 pixels a side.
OPERATIONS: dict[str, Callable[[Image.Image, float], Image.Image]] = {
    "identity": lambda image, _: image,
    "autocontrast": lambda image, _: ImageOps.autocontrast(image),
    "equalize": lambda image, _: ImageOps.equalize(image),
    "rotate": lambda image, by: image.rotate(30 * by, Image.Resampling.BILINEAR, fillcolor=GREY),
    "solarize": lambda image, by: ImageOps.solarize(image, round(256 * (1 - abs(by)))),
    "color": lambda image, by: ImageEnhance.Color(image).enhance(1 + 0.9 * by),
    "posterize": lambda image, by: ImageOps.posterize(image, 8 - round(4 * abs(by))),
    "contrast": lambda image, by: ImageEnhance.Contrast(image).enhance(1 + 0.9 * by),
    "brightness": lambda image, by: ImageEnhance.Brightness(image).enhance(1 + 0.9 * by),
    "sharpness": lambda image, by: ImageEnhance.Sharpness(image).enhance(1 + 0.9 * by),
    "shear_x": lambda image, by: _affine(image, 1, 0.3 * by, 0, 0, 1, 0),
    "shear_y": lambda image, by: _affine(image, 1, 0, 0, 0.3 * by, 1, 0),
    "translate_x": lambda image, by: _affine(image, 1, 0, 150 / 331 * by * image.width, 0, 1, 0),
    "translate_y": lambda image, by: _affine(image, 1, 0, 0, 0, 1, 150 / 331 * by * image.height),
}


def _randaugmented(images: np.ndarray, rng: np.random.Generator, number: int, magnitude: float) -> np.ndarray:
    """Each image after ``number`` operations, all as strong, either way with probability 1/2."""
    operations = list(OPERATIONS.values())
    drawn = rng.integers(len(operations), size=(len(images), number))
    strengths = rng.choice([-1, 1], size=(len(images), number)) * magnitude / 10
    changed = np.empty_like(images)
    for row, pixels in enumerate(images):
        image = Image.fromarray(pixels)
        for operation, strength in zip(drawn[row].tolist(), strengths[row].tolist(), strict=True):
            image = operations[operation](image, strength)
        changed[row] = image
    return changed


# -- mixtures ------------------------------------------------------------------------------------------------------------


def _mixup(images: np.ndarray, partner: np.ndarray, alpha: float, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """The images mixed with those of the rows ``partner`` (n,), and the share of the former, a multiple of 1/256.

    (Whole numbers are several times faster, and pixels and labels agree in what is rounded.)
    """
    parts = round(256 * rng.beta(alpha, alpha))
    mixed = images * np.uint16(parts)
    mixed += images[partner] * np.uint16(256 - parts)
    mixed += np.uint16(128)
    return (mixed >> 8).astype(np.uint8), parts / 256


def _cutmix(
    images: np.ndarray, partner: np.ndarray, alpha: float, rng: np.random.Generator
) -> tuple[np.ndarray, float]:
    """The images with a rectangle of those of the rows ``partner`` (n,), and the share of pixels that they keep."""
    sides = np.array(images.shape[1:3])
    centre, half = rng.random(2) * sides, sides * np.sqrt(1 - rng.beta(alpha, alpha)) / 2
    ends = np.rint(np.clip([centre - half, centre + half], 0, sides)).astype(int)
    (top, left), (bottom, right) = ends.tolist()
    mixed = np.array(images)
    mixed[:, top:bottom, left:right] = images[partner, top:bottom, left:right]
    return mixed, 1 - float(np.prod(ends[1] - ends[0]) / np.prod(sides))


def _shares(labels: np.ndarray, others: np.ndarray, share: float, classes: int) -> np.ndarray:
    shares, rows = np.zeros((len(labels), classes), np.float32), np.arange(len(labels))
    shares[rows, labels] = share
    shares[rows, others] += 1 - share
    return shares
