import io
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import imagehash
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import EpsImagePlugin, Image, ImageOps
from scipy.fft import dctn
from sklearn.datasets import load_digits, load_sample_images

import graft.images
from graft.images import UnreadableError, decode, perceptual_hash, pixel_hash, resize

LANDSCAPE = load_sample_images().images[0]  # uint8 (427, 640, 3)
PHOTO = np.ascontiguousarray(LANDSCAPE[180:228, 200:280])  # (48, 80, 3)
GREY = np.round(load_digits().images[0] * (255 / 16)).astype(np.uint8)
METHODS = [method.name.lower() for method in Image.Resampling]
SMOOTH = [name for name in METHODS if name != "nearest"]


def encoded(image: Image.Image | np.ndarray, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(buffer, kind, **options)
    return buffer.getvalue()


def pixels(data: bytes | np.ndarray) -> np.ndarray:
    image = decode(data)
    assert image.mode == "RGB"
    return np.asarray(image)


def by_pillow(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


# -- formats -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("BMP", {}),
        ("DIB", {}),
        ("PPM", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("WEBP", {"lossless": True}),
        ("JPEG2000", {}),
    ],
)
def test_formats_without_loss_give_the_pixels_that_were_written(kind: str, options: dict[str, Any]) -> None:
    np.testing.assert_array_equal(pixels(encoded(PHOTO, kind, **options)), PHOTO)


@pytest.mark.parametrize("kind", ["JPEG", "MPO", "WEBP", "AVIF", "GIF"])
def test_formats_with_loss_give_the_pixels_that_pillow_gives(kind: str) -> None:
    data = encoded(PHOTO, kind)
    np.testing.assert_array_equal(pixels(data), by_pillow(data))
    assert np.abs(pixels(data).astype(int) - PHOTO).mean() < 10


@given(
    st.integers(1, 70),
    st.integers(1, 70),
    st.integers(1, 100),
    st.sampled_from(["4:4:4", "4:2:2", "4:2:0"]),
    st.booleans(),
    st.sampled_from(["RGB", "L"]),
)
def test_every_jpeg_gives_the_pixels_that_pillow_gives(
    width: int, height: int, quality: int, subsampling: str, progressive: bool, mode: str
) -> None:
    image = Image.fromarray(LANDSCAPE[200 : 200 + height, 300 : 300 + width]).convert(mode)
    data = encoded(image, "JPEG", quality=quality, subsampling=subsampling, progressive=progressive)
    np.testing.assert_array_equal(pixels(data), by_pillow(data))


@pytest.mark.parametrize("array", [PHOTO, PHOTO[..., 0], PHOTO[:, ::2], np.asfortranarray(PHOTO)])
def test_pixels_that_a_source_has_decoded_stay_as_they_are(array: np.ndarray) -> None:
    np.testing.assert_array_equal(pixels(array), array if array.ndim == 3 else np.stack([array] * 3, axis=-1))


@pytest.mark.parametrize(
    ("kind", "options"),
    [("GIF", {}), ("WEBP", {"lossless": True}), ("PNG", {}), ("TIFF", {})],
)
def test_of_several_frames_the_first_counts(kind: str, options: dict[str, Any]) -> None:
    digits = [Image.fromarray(np.round(digit * (255 / 16)).astype(np.uint8)) for digit in load_digits().images[:3]]
    data = encoded(digits[0], kind, save_all=True, append_images=digits[1:], **options)
    with Image.open(io.BytesIO(data)) as image:
        assert image.n_frames == 3
    np.testing.assert_array_equal(pixels(data), np.stack([GREY] * 3, axis=-1))


# -- modes ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "PPM", "GIF"])
def test_grey_images_have_three_equal_channels(kind: str) -> None:
    np.testing.assert_array_equal(pixels(encoded(GREY, kind)), np.stack([GREY] * 3, axis=-1))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "PPM"])
def test_images_of_one_bit_are_black_and_white(kind: str) -> None:
    black = GREY > 100
    np.testing.assert_array_equal(pixels(encoded(Image.fromarray(black), kind))[..., 1], black * 255)


def test_a_palette_gives_its_colours() -> None:
    image = Image.new("P", (4, 1))
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    image.putdata([2, 0, 1, 0])
    assert pixels(encoded(image, "PNG")).tolist() == [[[70, 80, 90], [10, 20, 30], [40, 50, 60], [10, 20, 30]]]


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_a_transparent_colour_of_a_palette_shows_white(kind: str) -> None:
    image = Image.new("P", (3, 1))
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    image.putdata([0, 1, 2])
    data = encoded(image, kind, transparency=1)
    assert pixels(data).tolist() == [[[10, 20, 30], [255, 255, 255], [70, 80, 90]]]


@pytest.mark.parametrize(
    ("image", "key"), [(PHOTO, tuple(PHOTO[5, 7])), (PHOTO[..., 0], int(PHOTO[5, 7, 0]))], ids=["colours", "grey"]
)
def test_a_transparent_colour_without_palette_shows_white(image: np.ndarray, key: Any) -> None:
    colours = image if image.ndim == 3 else np.stack([image] * 3, axis=-1)
    keyed = (colours == key).all(axis=-1)
    transparency = tuple(int(value) for value in key) if isinstance(key, tuple) else key
    found = pixels(encoded(image, "PNG", transparency=transparency))
    assert keyed[5, 7] and not keyed.all()
    np.testing.assert_array_equal(found, np.where(keyed[..., None], 255, colours))


@pytest.mark.parametrize(
    ("kind", "options"), [("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True, "exact": True}), ("JPEG2000", {})]
)
@pytest.mark.parametrize("grey", [False, True], ids=["colours", "grey"])
def test_white_shows_through_as_far_as_an_image_is_transparent(grey: bool, kind: str, options: dict[str, Any]) -> None:
    alpha = np.tile(np.linspace(0, 255, 80).round().astype(np.uint8), (48, 1))
    colours = np.stack([PHOTO[..., 0]] * 3, axis=-1) if grey else PHOTO
    channels = [PHOTO[..., :1] if grey else PHOTO, alpha[..., None]]
    found = pixels(encoded(np.concatenate(channels, axis=-1), kind, **options))
    share = alpha[..., None] / 255
    np.testing.assert_allclose(found, share * colours + (1 - share) * 255, atol=1)
    assert (found[:, 0] == 255).all()
    np.testing.assert_array_equal(found[:, -1], colours[:, -1])


def test_printing_colours_become_those_of_a_screen() -> None:
    cmyk = Image.fromarray(PHOTO).convert("CMYK")
    data = encoded(cmyk, "JPEG", quality=100)
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == "CMYK"
    assert np.abs(pixels(data).astype(int) - PHOTO).max() < 12


RAMP = np.arange(65536, dtype=np.uint16).reshape(256, 256)


def sixteen_bit_pgm(values: np.ndarray) -> bytes:
    return b"P5 %d %d 65535\n" % values.shape[::-1] + values.astype(">u2").tobytes()


@pytest.mark.parametrize(
    ("data", "mode"),
    [
        (encoded(RAMP, "PNG"), "I;16"),
        (encoded(RAMP, "TIFF"), "I;16"),
        (encoded(Image.frombytes("I;16B", (256, 256), RAMP.astype(">u2").tobytes()), "TIFF"), "I;16B"),
        (encoded(RAMP.astype(np.int32), "TIFF"), "I"),
        (sixteen_bit_pgm(RAMP), "I"),
    ],
    ids=["png", "tiff-little", "tiff-big", "tiff-32", "pgm"],
)
def test_grey_values_of_16_bits_are_scaled_not_clipped(data: bytes, mode: str) -> None:
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == mode
    found = pixels(data)
    np.testing.assert_array_equal(found[..., 0], np.rint(RAMP / 257))
    assert (found == found[..., :1]).all()
    assert (found[0, 0, 0], found[-1, -1, 0]) == (0, 255)


# -- orientation ---------------------------------------------------------------------------------------------------------

# What is stored, from the upright picture: EXIF 2.3, "Orientation", says on which side its first row and column are.
STORED: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.transpose(1, 0, 2),
    6: lambda upright: upright[:, ::-1].transpose(1, 0, 2),
    7: lambda upright: upright[::-1, ::-1].transpose(1, 0, 2),
    8: lambda upright: upright[::-1].transpose(1, 0, 2),
}
XMP = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="%d"/></rdf:RDF></x:xmpmeta>"""


def exif(orientation: int) -> Image.Exif:
    data = Image.Exif()
    data[0x112] = orientation
    return data


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize(
    ("kind", "options", "most"),
    [
        ("PNG", {}, 0),
        ("TIFF", {}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("JPEG", {"quality": 95}, 8),
        ("MPO", {"quality": 95}, 8),
        ("AVIF", {"quality": 95}, 8),
    ],
)
def test_an_image_is_turned_upright(orientation: int, kind: str, options: dict[str, Any], most: float) -> None:
    stored = np.ascontiguousarray(STORED[orientation](PHOTO))
    found = pixels(encoded(stored, kind, exif=exif(orientation), **options))
    assert found.shape == PHOTO.shape
    assert np.abs(found.astype(int) - PHOTO).mean() <= most
    assert np.abs(PHOTO[:, ::-1].astype(int) - PHOTO).mean() > 20


@pytest.mark.parametrize(("kind", "options", "most"), [("JPEG", {"quality": 95}, 8), ("WEBP", {"lossless": True}, 0)])
@pytest.mark.parametrize("orientation", [3, 6])
def test_xmp_data_may_say_how_an_image_is_turned(
    orientation: int, kind: str, options: dict[str, Any], most: float
) -> None:
    stored = np.ascontiguousarray(STORED[orientation](PHOTO))
    found = pixels(encoded(stored, kind, xmp=XMP % orientation, **options))
    assert found.shape == PHOTO.shape
    assert np.abs(found.astype(int) - PHOTO).mean() <= most


@pytest.mark.parametrize("orientation", [3, 8])
def test_grey_values_of_16_bits_are_turned_too(orientation: int) -> None:
    wide = RAMP[:128]
    stored = np.ascontiguousarray(STORED[orientation](wide[..., None])[..., 0])
    found = pixels(encoded(stored, "PNG", exif=exif(orientation)))
    np.testing.assert_array_equal(found[..., 0], np.rint(wide / 257))


def tiff_directory(*entries: tuple[int, int, int, int]) -> bytes:
    """EXIF data of one directory, of (tag, type, count, value), which ends without a pointer to the next."""
    body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + body


@pytest.mark.parametrize(
    ("data", "turned"),
    [
        (b"Exif\0\0", False),
        (b"Exif\0\0 these are no EXIF data", False),
        (b"Exif\0\0II*\0\xff\xff\xff\xff", False),
        (b"Exif\0\0II*\0\x08\0\0\0\xff\xff", False),
        (tiff_directory((0x112, 3, 1, 0)), False),
        (tiff_directory((0x112, 3, 1, 9)), False),
        (tiff_directory((0x112, 3, 0x40000000, 6)), False),
        (tiff_directory((0x112, 2, 4, 6)), False),
        (tiff_directory((0x112, 3, 1, 6)), True),
        (tiff_directory((0x112, 3, 1, 6), (0x8769, 4, 1, 0xFFFFFFF0)), True),
        (tiff_directory((0x10F, 2, 0x7FFFFFFF, 0xFFFFFF00), (0x112, 3, 1, 6)), True),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_damaged_exif_data_cost_no_image(kind: str, data: bytes, turned: bool) -> None:
    found, plain = pixels(encoded(PHOTO, kind, exif=data)), pixels(encoded(PHOTO, kind))
    np.testing.assert_array_equal(found, np.rot90(plain, -1) if turned else plain)


# -- what cannot be read -------------------------------------------------------------------------------------------------

EPS = b"""%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 8 8
%%EndComments
0 0 8 8 rectfill
showpage
%%EOF
"""
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><rect width="8" height="8"/></svg>'


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    data = chunk(b"IDAT", zlib.compress(bytes(10**6)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + data + chunk(b"IEND", b"")


def gif(width: int, height: int) -> bytes:
    screen = struct.pack("<HHBBB", width, height, 0xF0, 0, 0) + b"\0\0\0\xff\xff\xff"
    return b"GIF89a" + screen + b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x02\x02\x4c\x01\0;"


def tiff(width: int, height: int) -> bytes:
    tags = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: 100}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4)


def bmp(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IIIIiiHHIIIIII", 154, 0, 54, 40, width, height, 1, 24, 0, 100, 0, 0, 0, 0) + bytes(100)


def jpeg(width: int, height: int) -> bytes:
    data = encoded(PHOTO, "JPEG")
    place = data.index(b"\xff\xc0") + 5
    return data[:place] + struct.pack(">HH", height, width) + data[place + 4 :]


def webp(width: int, height: int) -> bytes:
    """An animation, for whose whole canvas libwebp takes memory when it opens one."""
    frame = encoded(PHOTO, "WEBP")[12:]
    head = bytes(6) + struct.pack("<I", 79)[:3] + struct.pack("<I", 47)[:3] + bytes(4)
    canvas = b"\x02\0\0\0" + struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    parts = {b"VP8X": canvas, b"ANIM": bytes(6), b"ANMF": head + frame}
    body = b"WEBP" + b"".join(kind + struct.pack("<I", len(part)) + part for kind, part in parts.items())
    return b"RIFF" + struct.pack("<I", len(body)) + body


BOMBS = {
    "png": png(50_000, 50_000),
    "gif": gif(50_000, 50_000),
    "tiff": tiff(50_000, 50_000),
    "bmp": bmp(50_000, 50_000),
    "jpeg": jpeg(50_000, 50_000),
    "webp": webp(16_384, 16_384),
    "ppm": b"P6 50000 50000 255\n" + bytes(100),
    "less": png(10_001, 10_000),
}
UNREADABLE: dict[str, tuple[bytes | None, str]] = {
    "nothing": (None, r"is empty \(0 bytes\)"),
    "no bytes": (b"", r"is empty \(0 bytes\)"),
    "text": (b"This is no image.\n", "is not an image"),
    "html": (b"<!DOCTYPE html>\n<html><title>404 Not Found</title></html>\n", "is not an image"),
    "svg": (SVG, "is not an image"),
    "eps": (EPS, "is not an image"),
    "ico": (encoded(PHOTO, "ICO"), "is not an image"),
    "pdf": (b"%PDF-1.4\n", "is not an image"),
    "one byte": (b"\xff", "is not an image"),
    "start of a jpeg": (b"\xff\xd8\xff", "is damaged|is not an image"),
    "start of a png": (b"\x89PNG\r\n\x1a\n", "is not an image"),
    "floating-point tiff": (encoded(PHOTO[..., 0].astype(np.float32), "TIFF"), "floating-point"),
    "17 bits": (encoded(np.array([[0, 65536]], dtype=np.int32), "TIFF"), "more than 16 bits"),
    "negative": (encoded(np.array([[-1, 7]], dtype=np.int32), "TIFF"), "grey values"),
}
WHOLE = {
    kind: encoded(PHOTO, kind) for kind in ("JPEG", "PNG", "GIF", "TIFF", "BMP", "PPM", "WEBP", "AVIF", "JPEG2000")
}
CUT = {f"part of {kind}": (data[: len(data) * 2 // 3], "is damaged|is not an image") for kind, data in WHOLE.items()}
CUT["part of a progressive JPEG"] = (encoded(PHOTO, "JPEG", progressive=True)[:-200], "is damaged")
CUT["PNG with a wrong byte"] = (WHOLE["PNG"].replace(b"IDATx", b"IDATy"), "is damaged")


@pytest.mark.parametrize(("data", "reason"), (UNREADABLE | CUT).values(), ids=(UNREADABLE | CUT).keys())
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_what_is_no_whole_image_is_refused_in_one_line(data: bytes | None, reason: str) -> None:
    with pytest.raises(UnreadableError, match=reason) as error:
        decode(data)
    text = str(error.value)
    assert "\n" not in text and len(text) < 120
    assert "BytesIO" not in text


IN_A_CHILD = """
import resource, sys, time
from pathlib import Path
from PIL import Image
from graft.images import UnreadableError, decode

Image.init()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.monotonic()
for path in sys.argv[1:]:
    try:
        decode(Path(path).read_bytes())
        print("decoded", path)
    except UnreadableError as error:
        print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, time.monotonic() - start)
"""


def test_an_image_that_claims_to_be_huge_takes_neither_time_nor_memory(tmp_path: Path) -> None:
    for name, data in BOMBS.items():
        (tmp_path / name).write_bytes(data)
    command = [sys.executable, "-c", IN_A_CHILD, *(str(tmp_path / name) for name in BOMBS)]
    root = Path(graft.images.__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    *reasons, cost = result.stdout.splitlines()
    for name, reason in zip(BOMBS, reasons, strict=True):
        assert "100,000,000" in reason, name
    kibibytes, seconds = cost.split()
    assert int(kibibytes) < 30_000 * (1024 if sys.platform == "darwin" else 1)
    assert float(seconds) < 2


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_the_limit_on_pixels_is_exact(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    data = encoded(PHOTO, kind)
    monkeypatch.setattr(graft.images, "MOST_PIXELS", 48 * 80)
    assert pixels(data).shape == PHOTO.shape
    monkeypatch.setattr(graft.images, "MOST_PIXELS", 48 * 80 - 1)
    with pytest.raises(UnreadableError, match=r"has 80 x 48 pixels; at most 3,839 are read"):
        decode(data)


def test_no_other_program_is_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = tmp_path / "started"
    canary = tmp_path / "gs"
    canary.write_text(f"#!/bin/sh\ntouch {started}\n")
    canary.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    with pytest.raises(UnreadableError):
        decode(EPS)
    assert not started.exists()
    with pytest.raises(OSError), Image.open(io.BytesIO(EPS)) as image:  # what Pillow by itself would do
        image.load()
    assert started.exists()


SMALL = {kind: encoded(GREY, kind) for kind in WHOLE}


@given(st.sampled_from(sorted(SMALL)), st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=3)), max_size=4))
@pytest.mark.filterwarnings("ignore")
def test_a_damaged_file_is_an_image_or_refused(kind: str, changes: list[tuple[float, bytes]]) -> None:
    data = SMALL[kind]
    for place, put in changes:
        start = round(place * len(data))
        data = data[:start] + put + data[start + len(put) :]
    try:
        assert decode(data).mode == "RGB"
    except UnreadableError as error:
        assert "\n" not in str(error)


# -- sizes ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [1, 7, 64, 100])
@pytest.mark.parametrize("turned", [False, True], ids=["landscape", "portrait"])
def test_resizing_is_pillows(turned: bool, size: int, method: str) -> None:
    image = Image.fromarray(PHOTO.transpose(1, 0, 2) if turned else PHOTO)
    resampling = getattr(Image, method.upper())
    expected = {
        "squash": image.resize((size, size), resampling),
        "crop": ImageOps.fit(image, (size, size), resampling),
        "pad": ImageOps.pad(image, (size, size), resampling),
    }
    for how, found in expected.items():
        ours = resize(image, size, how, method)
        assert (ours.shape, ours.dtype) == ((size, size, 3), np.uint8)
        np.testing.assert_array_equal(ours, np.asarray(found), err_msg=how)


def test_left_to_itself_resizing_squashes_by_bicubic_interpolation() -> None:
    image = Image.fromarray(PHOTO)
    np.testing.assert_array_equal(resize(image, 20), np.asarray(image.resize((20, 20), Image.Resampling.BICUBIC)))


@pytest.mark.parametrize("how", ["squash", "crop", "pad"])
@pytest.mark.parametrize("method", METHODS)
def test_resizing_to_the_own_size_changes_nothing(how: str, method: str) -> None:
    square = PHOTO[:, :48]
    np.testing.assert_array_equal(resize(Image.fromarray(square), 48, how, method), square)


@pytest.mark.parametrize("turned", [False, True], ids=["landscape", "portrait"])
def test_cropping_keeps_the_middle_square(turned: bool) -> None:
    image, middle = (PHOTO, PHOTO[:, 16:64])
    if turned:
        image, middle = image.transpose(1, 0, 2), middle.transpose(1, 0, 2)
    np.testing.assert_array_equal(resize(Image.fromarray(image), 48, "crop"), middle)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("turned", [False, True], ids=["landscape", "portrait"])
def test_padding_keeps_the_whole_between_black_borders(turned: bool, method: str) -> None:
    bright = np.maximum(PHOTO, 60)
    image = Image.fromarray(bright.transpose(1, 0, 2) if turned else bright)
    found = resize(image, 80, "pad", method)
    found = found.transpose(1, 0, 2) if turned else found
    np.testing.assert_array_equal(found[16:64], bright)
    assert not found[:16].any() and not found[64:].any()


@pytest.mark.parametrize("size", [(900, 2), (2, 900), (1, 1)])
@pytest.mark.parametrize("how", ["squash", "crop", "pad"])
def test_thin_images_do_not_vanish(size: tuple[int, int], how: str) -> None:
    found = resize(Image.new("RGB", size, "white"), 32, how)
    assert found.shape == (32, 32, 3)
    assert found.max() == 255


@pytest.mark.parametrize("how", ["squash", "crop", "pad"])
def test_a_fine_checkerboard_becomes_even_grey_but_for_the_nearest_pixels(how: str) -> None:
    board = (np.indices((96, 96)).sum(axis=0) % 2 * 255).astype(np.uint8)
    image = Image.fromarray(np.stack([board] * 3, axis=-1))
    for method in SMOOTH:
        np.testing.assert_allclose(resize(image, 12, how, method), 127.5, atol=4, err_msg=method)
    assert set(np.unique(resize(image, 13, how, "nearest"))) <= {0, 255}


# -- hashes --------------------------------------------------------------------------------------------------------------


def test_equal_pixels_have_equal_hashes_however_they_are_published() -> None:
    stored = np.ascontiguousarray(STORED[6](PHOTO))
    published = [
        PHOTO,
        encoded(PHOTO, "PNG"),
        encoded(PHOTO, "BMP"),
        encoded(stored, "PNG", exif=exif(6)),
        encoded(Image.fromarray(PHOTO).convert("RGBA"), "PNG"),
    ]
    assert len({pixel_hash(pixels(data)) for data in published}) == 1
    assert pixel_hash(PHOTO[:, ::-1]) == pixel_hash(PHOTO[:, ::-1].copy())


def test_other_pixels_or_sides_have_other_hashes() -> None:
    changed = PHOTO.copy()
    changed[-1, -1, -1] ^= 1
    reshaped = [PHOTO.reshape(80, 48, 3), PHOTO.reshape(24, 160, 3), PHOTO.reshape(1, -1, 3)]
    images = [PHOTO, changed, STORED[2](PHOTO), STORED[5](PHOTO), *reshaped]
    assert len({pixel_hash(image) for image in images}) == len(images)


def test_the_hash_of_pixels_stays_what_it_was() -> None:
    # Splits depend on it: `printf '(2, 1)\1\2\3\4\5\6' | sha1sum`.
    assert pixel_hash(np.arange(1, 7, dtype=np.uint8).reshape(1, 2, 3)) == "123bd2357112fb04317e2a55461b4575c13b527b"


def cosines(image: Image.Image) -> Sequence[bool]:
    """Which of the 64 lowest frequencies of an image, made 32 x 32 and grey, are above their median."""
    grey = np.asarray(image.convert("L").resize((32, 32), Image.Resampling.LANCZOS), dtype=float)
    low = dctn(grey)[:8, :8]
    return [bool(bit) for bit in (low > np.median(low)).ravel()]


@pytest.mark.parametrize("image", [LANDSCAPE, PHOTO, PHOTO.transpose(1, 0, 2)])
def test_the_perceptual_hash_is_imagehashs(image: np.ndarray) -> None:
    picture = Image.fromarray(image)
    text = perceptual_hash(picture)
    assert len(text) == 16
    assert text == str(imagehash.phash(picture))
    assert f"{int(text, 16):064b}" == "".join("01"[bit] for bit in cosines(picture))


def test_the_perceptual_hash_has_16_digits_even_where_the_first_are_zero() -> None:
    assert perceptual_hash(Image.new("RGB", (9, 9))) == "0" * 16
