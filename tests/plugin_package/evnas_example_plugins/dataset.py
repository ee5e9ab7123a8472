"""A data set of another package: dark and bright squares."""

import numpy as np

from evnas.proxy.arrays import ImageArrays


def squares(side: int) -> ImageArrays:
    """Two classes, a colour image each of 16 pixels a side."""
    labels = np.arange(240) % 2
    noise = np.random.default_rng(0).integers(0, 100, (240, 3, 16, 16))
    images = (noise + 100 * labels[:, None, None, None]).astype(np.uint8)
    return ImageArrays(
        name="squares",
        train_images=images[:200],
        train_labels=labels[:200],
        held_out_images=images[200:],
        held_out_labels=labels[200:],
        classes=("dark", "bright"),
    )
