"""How colours look to people who see them differently, and how far apart two of them are."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Colour = NDArray[np.float64]
"""(3,)"""

VISION: dict[str, list[list[float]]] = {
    "all cones": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "no L cones (protan)": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "no M cones (deutan)": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "no S cones (tritan)": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
"""Linear sRGB as seen by dichromats, to be multiplied from the left, severity 1.0:
Machado, Oliveira and Fernandes, A Physiologically-based Model for Simulation of Color Vision
Deficiency, IEEE TVCG 15(6), 2009."""

_TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
"""sRGB, D65 (IEC 61966-2-1)."""


def linear(colour: str) -> Colour:
    """Linear sRGB, 0 to 1, of `#rrggbb`."""
    coded = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)


def lab(linear_rgb: Colour) -> Colour:
    """CIE L*a*b* of linear sRGB, white D65."""
    t = (_TO_XYZ @ np.clip(linear_rgb, 0, 1)) / _TO_XYZ.sum(axis=1)
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def seen(colour: str, vision: str) -> Colour:
    """L*a*b* of `#rrggbb` as somebody with that vision sees it."""
    return lab(np.array(VISION[vision]) @ linear(colour))


def difference(one: Sequence[float] | Colour, other: Sequence[float] | Colour) -> float:
    """CIEDE2000 between two L*a*b* colours: 1 can just be seen, 10 at a glance.

    Sharma, Wu and Dalal, The CIEDE2000 Color-Difference Formula, Color Res. Appl. 30(1), 2005,
    eq. 2 to 22; its table 1 tests it.
    """
    (l1, a1, b1), (l2, a2, b2) = one, other
    chroma = (math.hypot(a1, b1) + math.hypot(a2, b2)) / 2
    g = 0.5 * (1 - math.sqrt(chroma**7 / (chroma**7 + 25**7)))
    a1, a2 = (1 + g) * a1, (1 + g) * a2
    c1, c2 = math.hypot(a1, b1), math.hypot(a2, b2)
    h1, h2 = (math.degrees(math.atan2(b, a)) % 360 for a, b in ((a1, b1), (a2, b2)))
    turn = (h2 - h1 + 180) % 360 - 180 if c1 * c2 else 0.0
    hue = (h1 + turn / 2) % 360 if c1 * c2 else h1 + h2
    lightness, chroma = (l1 + l2) / 2, (c1 + c2) / 2

    def wave(times: int, shift: int) -> float:
        return math.cos(math.radians(times * hue + shift))

    t = 1 - 0.17 * wave(1, -30) + 0.24 * wave(2, 0) + 0.32 * wave(3, 6) - 0.20 * wave(4, -63)
    far = (lightness - 50) ** 2
    dl = (l2 - l1) / (1 + 0.015 * far / math.sqrt(20 + far))
    dc = (c2 - c1) / (1 + 0.045 * chroma)
    dh = 2 * math.sqrt(c1 * c2) * math.sin(math.radians(turn / 2)) / (1 + 0.015 * chroma * t)
    blue = 60 * math.exp(-(((hue - 275) / 25) ** 2))
    rotation = -2 * math.sqrt(chroma**7 / (chroma**7 + 25**7)) * math.sin(math.radians(blue))
    return math.sqrt(dl**2 + dc**2 + dh**2 + rotation * dc * dh)


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two `#rrggbb`, 1 to 21 (WCAG 2.2, relative luminance)."""
    dark, light = sorted(float(_TO_XYZ[1] @ linear(c)) + 0.05 for c in (one, other))
    return light / dark
