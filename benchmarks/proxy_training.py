"""Images a second of the proxy's training step on this machine, settings in alternation.

    python benchmarks/proxy_training.py [--rounds 8] [--width 0.5] [--rows A,B,C,D]

Every round takes two steps of every setting in turn, so that a busy machine slows all alike; the
median and the best round are printed. Nothing else should run meanwhile.
"""

import argparse
import itertools
import platform
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F
from torch import nn

from evnas.arch.spec import ArchSpec
from evnas.blocks.backbone import build
from evnas.proxy.augment import training_batch
from evnas.proxy.budget import ProxyBudget
from evnas.proxy.data import ProxyData, load_data
from evnas.proxy.evaluation import autocast
from evnas.proxy.schedule import adamw
from evnas.proxy.seeding import seeded, stream
from evnas.sweep.parts import ProxyPrecision
from evnas.sweep.sweep import load_sweep

STEPS = 2
Setting = tuple[str, int, bool, bool]
"""Row, batch, channels_last, bfloat16."""


def stepper(
    arch: ArchSpec, data: ProxyData, *, batch_size: int, channels_last: bool, bfloat16: bool
) -> Callable[[], None]:
    """A function that trains STEPS steps of a fresh model."""
    with seeded(0, "init"):
        model = build(arch)
    if channels_last:
        model.to(memory_format=torch.channels_last)
    budget = ProxyBudget(batch_size=batch_size)
    optimizer, views = adamw(model, budget), stream(0, "views")
    precision: ProxyPrecision = "bfloat16" if bfloat16 else "float32"

    def step() -> None:
        indices = torch.randint(len(data.train), (batch_size,), generator=views)
        images, labels = training_batch(data, indices, resolution=56, generator=views)
        if not channels_last:
            images = images.contiguous()
        with autocast(images.device, precision):
            logits = model(images)
        loss = F.cross_entropy(logits.float(), labels, label_smoothing=0.1)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    def steps() -> None:
        model.train()
        for _ in range(STEPS):
            step()

    return steps


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--width", type=float, default=0.5)
    parser.add_argument("--rows", default="A")
    parser.add_argument("--batches", default="16,32,64")
    options = parser.parse_args()
    data = load_data("fashion-mnist-12k")
    candidates = load_sweep(Path("sweeps/table_c.yaml")).candidates
    rows = {c.label: c.arch for c in candidates if c.arch is not None}
    settings = itertools.product(
        options.rows.split(","), map(int, options.batches.split(",")), (True, False), (False, True)
    )
    runs = {
        (row, batch, channels_last, bfloat16): stepper(
            small(rows[row], options.width),
            data,
            batch_size=batch,
            channels_last=channels_last,
            bfloat16=bfloat16,
        )
        for row, batch, channels_last, bfloat16 in settings
    }
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()}")
    for setting, seconds in timed(runs, options.rounds).items():
        row, batch, channels_last, bfloat16 = setting
        layout = "channels_last" if channels_last else "contiguous"
        precision = "bfloat16" if bfloat16 else "float32"
        images = STEPS * batch
        print(
            f"row {row} batch {batch:3} {layout:13} {precision:8} "
            f"median {images / median(seconds):6.1f} best {images / min(seconds):6.1f} images/s"
        )


def small(arch: ArchSpec, width: float) -> ArchSpec:
    """The form that the sweep's proxy trains."""
    scaled = arch.scaled(width, stem_stride=4)
    return ArchSpec.from_dict(scaled.to_dict() | {"num_classes": 10})


def timed(runs: dict[Setting, Callable[[], None]], rounds: int) -> dict[Setting, list[float]]:
    """Seconds of every run in every round, after one round to warm up."""
    seconds: dict[Setting, list[float]] = {setting: [] for setting in runs}
    for turn in range(rounds + 1):
        for setting, run in runs.items():
            start = time.perf_counter()
            run()
            if turn:
                seconds[setting].append(time.perf_counter() - start)
    return seconds


if __name__ == "__main__":
    main()
