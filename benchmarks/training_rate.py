"""The rate of `evnas train`'s step beside a bare forward, backward and step, images in memory.

    python benchmarks/training_rate.py [--arch efficientvim_m1] [--resolution 224] [--batch 16]
        [--device cpu] [--rounds 10] [--steps 2]

Both train the same network on the same batch, in alternation (bare, whole, whole, bare), so that
a busy machine slows both alike; the share is the median over rounds of the ratio, with the spread
over rounds. What a recipe adds beside its network's own forward and backward is in `whole`:
mixing, seeding, clipping, the moving average, the look at the loss. MESA's second forward is a
line of its own. Formats of memory are compared in the same way.
"""

import argparse
import dataclasses
import itertools
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
import torch.nn.functional as F

from evnas.arch.catalog import entry
from evnas.proxy.arrays import ImageArrays
from evnas.train import data
from evnas.train.config import TrainConfig
from evnas.train.loaders import Batch
from evnas.train.recipes import recipe_for
from evnas.train.session import Session
from evnas.train.world import World

Steps = Callable[[int], None]


def made_up(images: int, side: int) -> ImageArrays:
    """Noise of two classes."""
    draw = np.random.default_rng(0)
    labels = np.arange(images) % 2
    pixels = draw.integers(0, 256, (images, 3, side, side), dtype=np.uint8)
    return ImageArrays(
        name="made-up",
        train_images=pixels,
        train_labels=labels,
        held_out_images=pixels[:2],
        held_out_labels=labels[:2],
        classes=("a", "b"),
    )


def session(args: argparse.Namespace, changes: dict[str, object], memory: str) -> Session:
    """A training of the architecture by its own recipe, but for the batch and the changes."""
    named = recipe_for(entry(args.arch).arch, args.arch)
    recipe = named.recipe.edited({"batch_size": args.batch, "resolution": None, **changes})
    config = TrainConfig(
        arch=entry(args.arch).arch,
        recipe=recipe,
        data="made-up",
        output=Path(tempfile.gettempdir()) / "never written",
        resolution=args.resolution,
        device=args.device,
        workers=0,
    )
    config = dataclasses.replace(config, memory_format=memory)  # type: ignore[arg-type]
    return Session(config, World(0, 1, torch.device(args.device)))


def whole(made: Session, *, epoch: int = 0) -> Steps:
    """Steps as a training takes them, in `epoch`."""
    first = next(made.batches.epoch(0))
    made.begin_training()

    def run(steps: int) -> None:
        again = (Batch(first.images.clone(), first.labels, [], "") for _ in itertools.count())
        losses = []
        for _ in range(steps):
            losses.append(made.step(epoch, 0, again))
            made.follow(2)
        torch.stack(losses).tolist()

    return run


def bare(made: Session) -> Steps:
    """Forward, backward and step of the same network, and nothing else."""
    first = next(made.batches.epoch(0))
    images, labels = made.images_of(first), made.labels_of(first)
    made.begin_training()

    def run(steps: int) -> None:
        for _ in range(steps):
            outputs = made.model(images)
            logits = outputs[0] if isinstance(outputs, tuple) else outputs
            loss = F.cross_entropy(logits, labels)
            loss.backward()
            made.optimizer.step()
            made.optimizer.zero_grad()
        loss.item()

    return run


def share(one: Steps, other: Steps, args: argparse.Namespace) -> tuple[float, float, float, float]:
    """Median, 10th and 90th percentile over rounds of `one`'s time over `other`'s, and the
    other's images a second."""
    for run in (one, other):
        run(1)
    ratios, rates = [], []
    for _ in range(args.rounds):
        seconds = {id(one): 0.0, id(other): 0.0}
        for run in (one, other, other, one):
            start = time.perf_counter()
            run(args.steps)
            seconds[id(run)] += time.perf_counter() - start
        ratios.append(seconds[id(one)] / seconds[id(other)])
        rates.append(2 * args.steps * args.batch / seconds[id(other)])
    low, high = np.percentile(ratios, [10, 90])
    return median(ratios), float(low), float(high), median(rates)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--arch", default="efficientvim_m1")
    parser.add_argument("--resolution", type=int, default=224)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=2)
    args = parser.parse_args()
    data.NAMED["made-up"] = lambda: made_up(2 * args.batch, args.resolution)
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()}, "
        f"{args.arch}, {args.resolution} pixels, batches of {args.batch}, {args.device}"
    )
    plain: dict[str, object] = {"mesa": 0}
    late: dict[str, object] = {"mesa_start_fraction": 0.0, "mesa": 1.0, "ema_decay": 0.9995}
    for title, one, other in (
        ("whole step, share of the bare rate", bare(session(args, plain, "contiguous")),
         whole(session(args, plain, "contiguous"))),
        ("with MESA, share of the bare rate", bare(session(args, plain, "contiguous")),
         whole(session(args, late, "contiguous"))),
        ("channels_last, share of contiguous", whole(session(args, plain, "contiguous")),
         whole(session(args, plain, "channels_last"))),
    ):  # fmt: skip
        middle, low, high, rate = share(one, other, args)
        print(f"{title}: {100 * middle:.1f} % [{100 * low:.1f}, {100 * high:.1f}], "
              f"{rate:.1f} images/s")  # fmt: skip


if __name__ == "__main__":
    main()
