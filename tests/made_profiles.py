"""Small colour profiles, byte by byte (ICC.1:2001)."""

import struct
from collections.abc import Mapping, Sequence

import numpy as np

D50 = (0.9642, 1.0, 0.8249)
SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))
"""X, Y, Z of red, green and blue, adapted to D50 (Bradford)."""
WIDE = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
"""Of Adobe RGB (1998)."""
GAMMA = 2.19921875
"""Of Adobe RGB (1998), as profiles hold it: 563 / 256."""


def srgb_curve() -> bytes:
    """The formula of IEC 61966-2-1 as a table, as older profiles have it."""
    values = np.linspace(0, 1, 1024)
    light = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    return b"curv" + bytes(4) + struct.pack(">I1024H", 1024, *np.round(65535 * light).astype(int))


def power_curve(gamma: float) -> bytes:
    return b"curv" + bytes(4) + struct.pack(">IHH", 1, round(256 * gamma), 0)


def rgb(primaries: Sequence[Sequence[float]], curve: bytes) -> bytes:
    places = {f"{c}XYZ".encode(): _xyz(xyz) for c, xyz in zip("rgb", primaries, strict=True)}
    return _profile(b"RGB ", b"XYZ ", {**places, **{f"{c}TRC".encode(): curve for c in "rgb"}})


def grey(curve: bytes) -> bytes:
    return _profile(b"GRAY", b"XYZ ", {b"kTRC": curve})


def inks() -> bytes:
    """CMYK that prints grey: 50 % of lightness where C alone is full, none with K."""
    head = b"mft1" + bytes(4) + bytes([4, 3, 2, 0])
    matrix = struct.pack(">9i", *(65536 * (i % 4 == 0) for i in range(9)))
    straight = bytes(range(256))
    corners = b""
    for i in range(16):
        c, m, y, k = (i >> bit & 1 for bit in (3, 2, 1, 0))
        lightness = (1 - k) * (1 - 0.5 * c) * (1 - 0.25 * m) * (1 - 0.1 * y)
        corners += bytes([round(255 * lightness), 128, 128])
    return _profile(
        b"CMYK", b"Lab ", {b"A2B0": head + matrix + 4 * straight + corners + 3 * straight}
    )


def to_srgb(pixel: Sequence[int]) -> list[float]:
    """A pixel of Adobe RGB in sRGB, by the formulas."""
    light = np.array(WIDE).T @ (np.array(pixel) / 255) ** GAMMA
    linear = np.linalg.inv(np.array(SRGB).T) @ light
    assert (linear > 0.0031308).all() and (linear < 1).all(), "choose a colour that both have"
    return [float(v) for v in 255 * (1.055 * linear ** (1 / 2.4) - 0.055)]


def _xyz(values: Sequence[float]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(65536 * v) for v in values))


def _profile(space: bytes, connection: bytes, tags: Mapping[bytes, bytes]) -> bytes:
    tags = {**tags, b"wtpt": _xyz(D50)}
    start = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        padded = data + bytes(-len(data) % 4)
        table += name + struct.pack(">II", start + len(body), len(data))
        body += padded
    kind = b"prtr" if space == b"CMYK" else b"mntr"
    head = struct.pack(">I", start + len(body)) + bytes(4) + b"\x02\x40\0\0" + kind + space
    head += connection + bytes(12) + b"acsp" + bytes(28)
    head += struct.pack(">3i", *(round(65536 * v) for v in D50))
    return head + bytes(128 - len(head)) + table + body
