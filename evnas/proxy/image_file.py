"""One image file as RGB pixels: read right, or refused with the reason.

Pillow's `convert("RGB")` alone clips 16 bits to 8, drops transparency, and leaves a photograph
lying on its side.
"""

import struct
from pathlib import Path

import numpy as np
from PIL import Image

from evnas.errors import DataError

BACKGROUND = (255, 255, 255)
"""What transparent pixels are laid on."""
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
_PROFILE = "icc_profile"
"""Where Pillow has an embedded colour profile (ICC.1)."""
_BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339  # of TIFF 6.0
_WHITE_IS_ZERO, _SIGNED = 0, 2


class _NotOnePicture(ValueError):
    """Its pixels have no one reading as 8-bit RGB."""


def read_rgb(path: Path | str, *, least_side: int = 0) -> Image.Image:
    """An image as 8-bit RGB, upright.

    16-bit grey is scaled by its range, transparent pixels are blended with white, CMYK is
    converted, and EXIF's orientation is applied. Colour profiles are not: the readers with which
    the published weights were trained (timm's, torchvision's) take the numbers as sRGB too. The
    image keeps its profile, see `has_other_colours`.

    Args:
        least_side: a JPEG may be decoded at a fraction of its size, with no side below this; 0
            decodes it whole.

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
            upright = _turned(_as_rgb(image), _orientation(image))
            upright.info[_PROFILE] = image.info.get(_PROFILE)
            return upright
    except (OSError, ValueError, SyntaxError, struct.error, Image.DecompressionBombError) as e:
        raise DataError(
            f"{path} must be an image, it cannot be read ({e}); save it again or remove it"
        ) from e


def has_other_colours(image: Image.Image) -> bool:
    """Whether a colour profile is embedded that says of itself nothing of sRGB: its numbers do not
    quite mean what they are taken for. Names are texts of one byte a letter (ICC.1:2001) or two
    (ICC.1:2022)."""
    profile = image.info.get(_PROFILE) or b""
    return bool(profile) and not any("sRGB".encode(c) in profile for c in ("ascii", "utf-16-be"))


def _must_be_one(image: Image.Image) -> None:
    frames = getattr(image, "n_frames", 1)
    # the second picture of a camera's MPO is a preview or the other eye: the first is the photo
    if frames > 1 and image.format != "MPO":
        raise _NotOnePicture(f"it holds {frames} frames, and which is meant is not known")


def _as_rgb(image: Image.Image) -> Image.Image:
    if _tag(image, _SAMPLE_FORMAT) == _SIGNED:
        raise _NotOnePicture("its values are signed, so its black is not known")
    if image.mode == "F" or (image.mode == "I" and image.format not in ("PNG", "PPM")):
        kind = "floats" if image.mode == "F" else "32-bit integers"
        raise _NotOnePicture(f"its values are {kind}, so its white is not known")
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _of_16_bits(image)
    if image.mode in _TRANSPARENT or "transparency" in image.info:
        return _blended(image.convert("RGBA"))
    if image.mode not in _PLAIN:
        raise _NotOnePicture(f"its colours are {image.mode}")
    return image.convert("RGB")


def _of_16_bits(image: Image.Image) -> Image.Image:
    """Grey of 12 or 16 bits (Pillow spreads a PGM of any maximum over 16)."""
    values = np.asarray(image).astype(np.int64)
    white = 4095 if _tag(image, _BITS) == 12 else 65535
    if _tag(image, _PHOTOMETRIC) == _WHITE_IS_ZERO:
        values = white - values
    grey = Image.fromarray(((255 * values + white // 2) // white).astype(np.uint8))
    see_through = image.info.get("transparency")
    if isinstance(see_through, int):
        grey.putalpha(Image.fromarray(np.where(values == see_through, 0, 255).astype(np.uint8)))
        return _blended(grey.convert("RGBA"))
    return grey.convert("RGB")


def _blended(image: Image.Image) -> Image.Image:
    under = Image.new("RGBA", image.size, BACKGROUND)
    return Image.alpha_composite(under, image).convert("RGB")


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
