"""How busy the loaders of a training keep this machine: `python benchmarks/loading_rate.py`.

Made-up JPEGs of 500 x 375 pixels are read by EfficientViM's recipe at 224 pixels, with as many
processes as a training takes by default and nothing trained beside them. The first epoch is not
counted; of the next, images a second and how many cores were busy are printed.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from evnas.arch.catalog import entry
from evnas.train.config import TrainConfig
from evnas.train.recipes import recipe_for
from evnas.train.session import Session
from evnas.train.world import World

ARCH, RESOLUTION, BATCH = "efficientvim_m1", 224, 50
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def write_images(folder: Path, number: int) -> None:
    """Of two classes; a tenth as many are held out."""
    draw = np.random.default_rng(0)
    for split, many in (("train", number), ("val", number // 10)):
        for i in range(many):
            place = folder / split / f"class{i % 2}"
            place.mkdir(parents=True, exist_ok=True)
            coarse = draw.integers(0, 256, (12, 16, 3), dtype=np.uint8)
            image = Image.fromarray(coarse).resize((500, 375), Image.Resampling.BICUBIC)
            image.save(place / f"{i}.jpg", quality=90)


def processor_s() -> float:
    """That this process and its children have taken so far."""
    here = os.getpid()
    fields = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            after_name = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if here in (int(stat.parent.name), int(after_name[1])):
            fields += after_name[11:13]
    return TICK_S * sum(int(field) for field in fields)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2_000)
    given = parser.parse_args()
    arch = entry(ARCH).arch
    recipe = recipe_for(arch, ARCH).recipe.edited({"batch_size": BATCH, "resolution": None})
    with tempfile.TemporaryDirectory() as folder:
        write_images(Path(folder) / "images", given.images)
        config = TrainConfig(
            arch=arch,
            recipe=recipe,
            data=str(Path(folder) / "images"),
            output=Path(folder) / "out",
            resolution=RESOLUTION,
            device="cpu",
        )
        batches = Session(config, World(0, 1, torch.device("cpu"))).batches
        for _ in batches.epoch(0):
            pass
        began, used = time.perf_counter(), processor_s()
        images = sum(len(batch.images) for batch in batches.epoch(1))
        wall_s = time.perf_counter() - began
        busy = (processor_s() - used) / wall_s
        print(f"{images / wall_s:.0f} images/s, {busy:.2f} of {os.cpu_count()} cores busy")


if __name__ == "__main__":
    main()
