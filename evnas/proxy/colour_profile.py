"""Colour profiles (ICC.1) that images embed, and their pixels as sRGB.

Profiles are applied relative to white, with black point compensation, as most viewers do: colours
outside sRGB are clipped to it. One that says what sRGB says leaves the pixels as they are.
"""

import functools
import io
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np
from PIL import Image, ImageCms, features

from evnas.words import counted

KEY = "icc_profile"
"""Where Pillow has a profile."""
_SIGNS = (b"acsp", b"iCCP")
"""One of them stands in every file with a profile: within its header, or before it where it is
packed (PNG)."""
_MODES = {"GRAY": "L", "RGB": "RGB", "CMYK": "CMYK"}
"""What a profile's pixels are -> Pillow's mode of them."""
_GRID = 17
"""Levels a channel of the colours by which a profile is compared with sRGB."""
_SAME_LEVELS = 1
"""Of 255: tables and formulas of one curve differ by rounding."""


class Colours(Enum):
    """What the embedded profile of an image is to its pixels."""

    SRGB = "none, or one that says what sRGB says"
    CONVERTED = "another one, which is applied"
    NOT_APPLIED = "another one, which is left"
    UNFIT = "one that cannot be read, or is for pixels of another kind"
    UNSUPPORTED = "one that Pillow lacks the means for"


_SAID = {
    Colours.CONVERTED: "a colour profile other than sRGB, by which {their} colours are converted",
    Colours.NOT_APPLIED: (
        "a colour profile other than sRGB, which is not applied: none was when this began"
    ),
    Colours.UNFIT: (
        "a colour profile that is damaged or for other pixels, so that {their} numbers are taken "
        "as sRGB"
    ),
    Colours.UNSUPPORTED: (
        "a colour profile that this Pillow cannot apply, for want of littlecms, so that {their} "
        "numbers are taken as sRGB"
    ),
}


@dataclass(frozen=True, slots=True)
class _Profile:
    """One that can be applied."""

    kind: str
    """A key of `_MODES`."""
    to_srgb: ImageCms.ImageCmsTransform
    is_srgb: bool


def can_convert() -> bool:
    """Whether this Pillow was built with littlecms."""
    return bool(features.check_module("littlecms2"))


def about_colours(counts: Mapping[Colours, int], *, of: int) -> str:
    """What is to be said of so many images of each kind, to be set behind a sentence; "" where all
    are sRGB.

    Args:
        of: how many images there are; more where only some were looked into.
    """
    said = ""
    for colours, text in _SAID.items():
        if count := counts.get(colours, 0):
            images = counted(count, "image embeds", "images embed")
            said += f"; {images} {text.format(their='its' if count == 1 else 'their')}"
    looked = sum(counts.values())
    return f"{said} (of {looked} that were looked into)" if said and looked < of else said


def colours_of(image: Image.Image, *, apply: bool) -> Colours:
    """What an image's profile is to it; one that was opened and not decoded will do.

    Args:
        apply: whether profiles are applied.
    """
    return _judged(image.info.get(KEY), image.mode, apply)[0]


def colours_in(raw: bytes, *, apply: bool) -> Colours:
    """The same of a whole file; SRGB of what is no image, which whoever decodes it tells."""
    if not any(sign in raw for sign in _SIGNS):
        return Colours.SRGB
    try:
        with Image.open(io.BytesIO(raw)) as image:
            return colours_of(image, apply=apply)
    except Exception:  # Pillow's readers raise whatever a broken file leads them to
        return Colours.SRGB


def as_srgb(pixels: Image.Image, profile: bytes | None) -> Image.Image:
    """Pixels as RGB, by a profile that fits them.

    Args:
        pixels: L, RGB or CMYK.
        profile: what is embedded; None leaves the numbers as they are.
    """
    _, to_srgb = _judged(profile, pixels.mode, True)
    if to_srgb is None:
        return pixels.convert("RGB")
    fitting = pixels if pixels.mode == to_srgb.input_mode else pixels.convert("RGB")
    converted = to_srgb.apply(fitting)
    del converted.info[KEY]  # sRGB's
    return converted


def _judged(
    profile: bytes | None, mode: str, apply: bool
) -> tuple[Colours, ImageCms.ImageCmsTransform | None]:
    """What a profile is to pixels of a mode, and what is to be applied to them."""
    if not profile:
        return Colours.SRGB, None
    if not can_convert():
        return _by_its_name(profile), None
    known = _read(profile)
    if known is None or known.kind not in _kinds_fitting(mode):
        return Colours.UNFIT, None
    if known.is_srgb:
        return Colours.SRGB, None
    return (Colours.CONVERTED, known.to_srgb) if apply else (Colours.NOT_APPLIED, None)


def _kinds_fitting(mode: str) -> tuple[str, ...]:
    """Profiles that say something of pixels of a mode: grey ones are also equal parts of RGB."""
    if mode in ("1", "L", "LA", "La", "I") or mode.startswith("I;16"):
        return ("GRAY", "RGB")
    return ("CMYK",) if mode == "CMYK" else ("RGB",)


def _by_its_name(profile: bytes) -> Colours:
    """Names are texts of one byte a letter (ICC.1:2001) or two (ICC.1:2022)."""
    says_so = any("sRGB".encode(code) in profile for code in ("ascii", "utf-16-be"))
    return Colours.SRGB if says_so else Colours.UNSUPPORTED


@functools.lru_cache(maxsize=64)  # the images of a folder mostly share a few
def _read(profile: bytes) -> _Profile | None:
    """None of one that is damaged, or of pixels that no image here has."""
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        kind = opened.profile.xcolor_space.strip()
        to_srgb = ImageCms.buildTransform(
            opened,
            ImageCms.createProfile("sRGB"),
            _MODES[kind],
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (OSError, ValueError, TypeError, KeyError, ImageCms.PyCMSError):
        return None
    return _Profile(kind, to_srgb, kind != "CMYK" and _moves_nothing(to_srgb))


def _moves_nothing(to_srgb: ImageCms.ImageCmsTransform) -> bool:
    """Whether colours of a grid stay where they are but for rounding."""
    if to_srgb.input_mode == "L":
        before = np.arange(256, dtype=np.uint8)[None]
    else:
        levels = np.linspace(0, 255, _GRID).round().astype(np.uint8)
        before = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    after = np.asarray(to_srgb.apply(Image.fromarray(before))).astype(int)
    moved = after - before.reshape(1, before.shape[1], -1)
    return bool(np.abs(moved).max() <= _SAME_LEVELS)
