"""One image: from published bytes to upright RGB, to an array of a size, and to the hashes that find its copies."""

import hashlib
import io

import numpy as np
import simplejpeg
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

# Not all that Pillow reads: some formats start other programs.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000", "DIB")
MOST_PIXELS = 100_000_000


class UnreadableError(Exception):
    """An image that cannot be used; the text says why."""


def _eight_bits(image: Image.Image) -> Image.Image:
    """Grey values of 16 bits, or of 32 that hold 16, as 8 bits; Pillow itself would clip them."""
    values = np.asarray(image)
    if values.min() < 0 or values.max() > 65535:
        raise UnreadableError("its grey values have more than 16 bits")
    return Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))


def upright_rgb(image: Image.Image) -> Image.Image:
    """``image`` turned as its EXIF data say, in RGB; what is transparent shows white.

    Raises:
        UnreadableError: its pixels are not colours or grey values of up to 16 bits.
    """
    try:
        if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
            ImageOps.exif_transpose(image, in_place=True)
    except Exception:  # damaged EXIF data say nothing of the pixels
        image.load()
    if image.mode == "F":
        raise UnreadableError("its pixels are floating-point numbers, whose range is unknown")
    if image.mode.startswith("I"):
        image = _eight_bits(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _plain_jpeg(data: bytes) -> Image.Image | None:
    """The image of a JPEG file in grey or YCbCr that need not be turned; None if it is none, or not in order.

    libjpeg-turbo by itself gives the pixels that Pillow gives with it, small images in a quarter of the time.
    """
    if not data.startswith(b"\xff\xd8") or b"Exif\0\0" in data or b"tiff:Orientation" in data:
        return None
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        if colours not in ("Gray", "YCbCr") or height * width > MOST_PIXELS:
            return None
        return Image.fromarray(simplejpeg.decode_jpeg(data, "RGB"))
    except ValueError:  # Pillow says what is wrong
        return None


def decode(data: bytes | np.ndarray | None) -> Image.Image:
    """A published image, an encoded file or uint8 pixels, as upright RGB.

    Raises:
        UnreadableError: it is empty, no image, damaged, or larger than 100 million pixels.
    """
    if isinstance(data, np.ndarray):
        return upright_rgb(Image.fromarray(data))
    if not data:
        raise UnreadableError("is empty (0 bytes)")
    if plain := _plain_jpeg(data):
        return plain
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MOST_PIXELS:
                raise UnreadableError(f"has {image.width} x {image.height} pixels; at most {MOST_PIXELS:,} are read")
            image.load()
            return upright_rgb(image)
    except UnreadableError:
        raise
    except UnidentifiedImageError:
        raise UnreadableError("is not an image, whatever its name says") from None
    except Image.DecompressionBombError:
        raise UnreadableError(f"claims more than {MOST_PIXELS:,} pixels") from None
    except Exception as error:  # decoders raise whatever a damaged file provokes
        raise UnreadableError(f"is damaged: {' '.join(str(error).split()) or type(error).__name__}") from None


def resize(image: Image.Image, size: int, how: str = "squash", interpolation: str = "bicubic") -> np.ndarray:
    """An RGB image as uint8 (size, size, 3), antialiased except by ``nearest``.

    ``how`` is ``squash`` (the sides change their ratio), ``crop`` (the middle square) or ``pad`` (black borders).
    """
    method = Image.Resampling[interpolation.upper()]
    if how == "crop":
        return np.asarray(ImageOps.fit(image, (size, size), method))
    if how == "pad":
        longest = max(image.size)
        width, height = (max(1, round(side / longest * size)) for side in image.size)  # ImageOps.pad loses thin images
        square = Image.new("RGB", (size, size))
        square.paste(image.resize((width, height), method), (round((size - width) / 2), round((size - height) / 2)))
        return np.asarray(square)
    return np.asarray(image.resize((size, size), method))


def pixel_hash(pixels: np.ndarray) -> str:
    """The SHA-1 of width, height and RGB values of an image, uint8 (height, width, 3), in hexadecimal."""
    height, width, _ = pixels.shape
    digest = hashlib.sha1(repr((width, height)).encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def perceptual_hash(image: Image.Image) -> str:
    """The 64-bit pHash of an image in hexadecimal: which of its lowest cosine frequencies are above their median."""
    import imagehash

    return str(imagehash.phash(image))
