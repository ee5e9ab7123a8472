"""One image file as RGB pixels: read right, or refused with the reason.

Pillow's `convert("RGB")` alone clips 16 bits to 8, drops transparency, leaves a photograph lying
on its side, and takes the numbers of any colour profile as sRGB.
"""

import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from evnas.errors import DataError
from evnas.proxy.colour_profile import KEY, Colours, as_srgb, colours_of

READING = 2
"""How files come to be pixels: 1 took numbers of any colour profile as sRGB, 2 converts them. What
was begun with one goes on with it."""
BACKGROUND = (255, 255, 255)
"""What transparent pixels are laid on."""
_GREY = ("1", "L", "LA", "La")
_TRANSPARENT = ("RGBA", "LA", "PA", "RGBa", "La")
_PLAIN = ("1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr")
"""Modes that Pillow's own conversion reads right."""
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what turns the stored pixels upright (CIPA DC-008, table of tag 274)."""
_ORIENTATION = 0x0112
_COLOURS = "colours"
"""Under this an image that was read says what its profile was to it."""
_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339  # of TIFF 6.0
_WHITE_IS_ZERO, _SIGNED = 0, 2


class _NotOnePicture(ValueError):
    """Its pixels have no one reading as 8-bit RGB."""


def read_rgb(
    path: Path | str | BinaryIO, *, least_side: int = 0, reading: int = READING
) -> Image.Image:
    """An image as 8-bit RGB, upright.

    16-bit grey is scaled by its range, colours are converted to sRGB by an embedded profile,
    transparent pixels are blended with white, CMYK without a profile is converted by Pillow, and
    EXIF's orientation is applied. `found_colours` says what its profile was to it.

    Args:
        least_side: a JPEG may be decoded at a fraction of its size, with no side below this; 0
            decodes it whole.
        reading: as `READING`.

    Raises:
        DataError: it cannot be decoded, is cut short, holds several frames, or its values have no
            known white (floats, 32-bit and signed integers).
    """
    try:
        with Image.open(path) as image:
            _must_be_one(image)
            if least_side:
                image.draft(None, (least_side, least_side))
            image.load()
            applies = applies_profiles(reading)
            rgb = _as_rgb(image, image.info.get(KEY) if applies else None)
            upright = _turned(rgb, _orientation(image))
            upright.info[_COLOURS] = colours_of(image, apply=applies)
            return upright
    except (OSError, ValueError, SyntaxError, struct.error, Image.DecompressionBombError) as e:
        raise DataError(
            f"{path} must be an image, it cannot be read ({e}); save it again or remove it"
        ) from e


def applies_profiles(reading: int) -> bool:
    """Whether a reading converts colours by embedded profiles."""
    return reading > 1


def found_colours(image: Image.Image) -> Colours:
    """What the profile of an image by `read_rgb` was to it."""
    found: Colours = image.info[_COLOURS]
    return found


def _must_be_one(image: Image.Image) -> None:
    frames = getattr(image, "n_frames", 1)
    # the second picture of a camera's MPO is a preview or the other eye: the first is the photo
    if frames > 1 and image.format != "MPO":
        raise _NotOnePicture(f"it holds {frames} frames, and which is meant is not known")


def _as_rgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    pixels, alpha = _parts(image)
    rgb = as_srgb(pixels, profile)
    if alpha is None:
        return rgb
    rgb.putalpha(alpha)
    return Image.alpha_composite(Image.new("RGBA", rgb.size, BACKGROUND), rgb).convert("RGB")


def _parts(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Pixels of 8 bits as L, RGB or CMYK, and how far each is seen (L); None where all are."""
    if _tag(image, _SAMPLE_FORMAT) == _SIGNED:
        raise _NotOnePicture("its values are signed, so its black is not known")
    if image.mode == "F" or (image.mode == "I" and image.format not in ("PNG", "PPM")):
        kind = "floats" if image.mode == "F" else "32-bit integers"
        raise _NotOnePicture(f"its values are {kind}, so its white is not known")
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _of_16_bits(image)
    if image.mode in _TRANSPARENT or "transparency" in image.info:
        seen = image.convert("RGBA")
        pixels = seen.getchannel("R") if image.mode in _GREY else seen.convert("RGB")
        return pixels, seen.getchannel("A")
    if image.mode not in _PLAIN:
        raise _NotOnePicture(f"its colours are {image.mode}")
    if image.mode == "CMYK":
        return image, None
    return image.convert("L" if image.mode in _GREY else "RGB"), None


def _of_16_bits(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Grey of 12 or 16 bits (Pillow spreads a PGM of any maximum over 16)."""
    values = np.asarray(image).astype(np.int64)
    white = 4095 if _tag(image, _BITS) == 12 else 65535
    if _tag(image, _PHOTOMETRIC) == _WHITE_IS_ZERO:
        values = white - values
    grey = Image.fromarray(((255 * values + white // 2) // white).astype(np.uint8))
    see_through = image.info.get("transparency")
    if not isinstance(see_through, int):
        return grey, None
    return grey, Image.fromarray(np.where(values == see_through, 0, 255).astype(np.uint8))


def _turned(image: Image.Image, orientation: object) -> Image.Image:
    turn = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)


def _orientation(image: Image.Image) -> object:
    """EXIF's; of a TIFF Pillow has applied it and taken the tag away."""
    try:
        return image.getexif().get(_ORIENTATION)
    except (OSError, ValueError, SyntaxError, TypeError, KeyError, struct.error):
        return None  # garbled, as of many cameras: nothing there says that it lies on its side


def _tag(image: Image.Image, number: int) -> object:
    """The first value of a TIFF's tag; None of all other files."""
    found = getattr(image, "tag_v2", {}).get(number)
    return found[0] if isinstance(found, tuple) and found else found
