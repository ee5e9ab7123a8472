"""A folder of images such as people have, but small."""

from pathlib import Path

import numpy as np
from PIL import Image


def write_photos(folder: Path) -> Path:
    """Two classes of twelve images, 32 x 32 pixels, that differ in brightness."""
    rng = np.random.default_rng(0)
    for label, level in (("dark", 60), ("bright", 200)):
        (folder / label).mkdir(parents=True)
        for i in range(12):
            pixels = rng.normal(level, 20, (32, 32, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{i}.png")
    return folder
