"""Make the image set that evnas ships, from the files of Debian's package dataset-fashion-mnist.

    python scripts/make_fashion_mnist_12k.py [FOLDER_WITH_THE_IDX_FILES]

The first 1,000 training and the first 200 test images of each class, in the order of the
originals; the same files always give the same bytes.
"""

import sys
from pathlib import Path

import numpy as np

from evnas.proxy.fashion import DEBIAN_FOLDER, SHIPPED_FILE, read_idx_folder

TRAIN_PER_CLASS = 1_000
TEST_PER_CLASS = 200


def first_of_each_class(labels: np.ndarray, per_class: int) -> np.ndarray:
    """Indices, ascending, of the first `per_class` images of each label."""
    picks = [np.flatnonzero(labels == label)[:per_class] for label in np.unique(labels)]
    if any(len(pick) != per_class for pick in picks):
        raise SystemExit(f"a class has fewer than {per_class} images")
    return np.sort(np.concatenate(picks))


def main() -> None:
    """Write the archive and say how large it is."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DEBIAN_FOLDER
    full = read_idx_folder(folder)
    train = first_of_each_class(full.train_labels, TRAIN_PER_CLASS)
    test = first_of_each_class(full.test_labels, TEST_PER_CLASS)
    np.savez_compressed(
        SHIPPED_FILE,
        train_images=full.train_images[train],
        train_labels=full.train_labels[train],
        test_images=full.test_images[test],
        test_labels=full.test_labels[test],
    )
    size_mb = SHIPPED_FILE.stat().st_size / 1e6
    print(f"{SHIPPED_FILE}: {len(train)} training and {len(test)} test images, {size_mb:.2f} MB")


if __name__ == "__main__":
    main()
