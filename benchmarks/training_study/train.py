"""Train the printed architectures for a short while: `python benchmarks/training_study/train.py`.

All of them with `FEW` presentations and seed 0, the rows of `rows.py` with `MANY` and two seeds,
and those rows with `FEW` on a harder task as well (`cells.py`); at 56 x 56 pixels and half width,
behind a stem of a quarter of the stride, so that the stages see the token grids of 224 x 224. The
cheapest go first. The file of curves gains a line when a training ends, and what has a line is not
trained again: stop it whenever you like.
"""

import argparse
import functools
import json
import math
import platform
import subprocess
import time
from datetime import date
from pathlib import Path
from typing import Any

import torch
from cells import CURVES, USUAL_DATA, Training, key_of, lines_in, trainings

from evnas.arch.spec import ArchSpec
from evnas.measure.timing.allocator import keep_freed_memory
from evnas.measure.timing.conditions import cpu_facts
from evnas.phases.base import Workshop
from evnas.phases.proxy import PROXY, ProxyTask
from evnas.phases.work import Work
from evnas.predict.printed import printed_architectures
from evnas.sweep.parts import ProxySpec

BATCH, EPOCHS, HELD_OUT = 30, 2, 4_000
LARGEST_EPOCH = 10_000
"""Training images of each set: an epoch shows no more."""
TREE = Path(__file__).parents[2]
CODE = ("evnas", "benchmarks/training_study")
"""What trains; a campaign changes the file of curves beside it."""


def proxy_of(arch: ArchSpec, presentations: int, data: str = USUAL_DATA) -> ProxySpec:
    """How an architecture is trained: in two epochs, or in as many more as hold all
    presentations."""
    epochs = EPOCHS * math.ceil(presentations / (EPOCHS * LARGEST_EPOCH))
    return ProxySpec(
        data=data,
        resolution=56,
        stem_stride=arch.stem.stride // 4,
        width=0.5,
        epochs=epochs,
        images_per_epoch=presentations // epochs,
        batch_size=BATCH,
        points_per_epoch=5,
        held_out_images=HELD_OUT,
        device="cpu",
    )


def trained(cell: Training, workshop: Workshop) -> dict[str, Any]:
    """The line of a cell."""
    arch = next(p.candidate.arch for p in printed_architectures() if p.name == cell.name)
    assert arch is not None
    proxy = proxy_of(arch, cell.presentations, cell.data)
    found = training_of(arch, proxy, label=cell.name, seed=cell.seed, workshop=workshop)
    return {"name": cell.name, "data": cell.data, **found}


def training_of(
    arch: ArchSpec, proxy: ProxySpec, *, label: str, seed: int, workshop: Workshop
) -> dict[str, Any]:
    """What one training found, and under what."""
    task = ProxyTask(proxy=proxy.model_dump(mode="json"))
    work = Work(
        label=label, digest=arch.digest, arch=arch.to_dict(), phase="proxy", task=task,
        seed=seed, budget=float(proxy.presentations),
    )  # fmt: skip
    revision, memory = revision_of(TREE), keep_freed_memory()
    begun = time.process_time()
    found = PROXY.evaluate(work, workshop, lambda *_: None)
    cpu_seconds = time.process_time() - begun
    return {
        "presentations": proxy.presentations,
        "seed": seed,
        "digest": arch.digest,
        "status": found.status,
        "error": found.error,
        "values": dict(found.values),
        "curve": list(found.rest.get("curve", ())),
        "seconds": round(found.busy_s, 1),
        "cpu_seconds": round(cpu_seconds, 1),
        "threads": torch.get_num_threads(),
        "memory": memory,
        "torch": torch.__version__,
        "machine": cpu_facts()["model"] or platform.machine(),
        "revision": revision,
        "date": date.today().isoformat(),
    }


@functools.cache  # the code that was imported stays that of the first training
def revision_of(tree: Path) -> str:
    """The short name of a clone's commit, with a `+` where `CODE` differs from it; "" outside a
    clone."""
    try:
        commit = _git(tree, "rev-parse", "--short", "HEAD")
        changed = _git(tree, "status", "--porcelain", "--", *CODE)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return commit + ("+" if changed else "")


def _git(tree: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=tree, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def main() -> None:
    """Train what is missing, and append a line after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=CURVES)
    parser.add_argument("--most", type=int, default=10**6, help="trainings of this run")
    given = parser.parse_args()
    there = {key_of(line) for line in lines_in(given.out)}
    missing = [cell for cell in trainings() if cell.key not in there]
    given.out.parent.mkdir(parents=True, exist_ok=True)
    workshop = Workshop()
    for done, cell in enumerate(missing[: given.most], start=1):
        line = trained(cell, workshop)
        lines = [*lines_in(given.out), line]
        whole = given.out.with_suffix(".part")
        whole.write_text("".join(json.dumps(each) + "\n" for each in lines), encoding="utf-8")
        whole.replace(given.out)  # a stop never leaves half a line
        top1 = line["values"].get("top1_percent", float("nan"))
        print(f"{done} of {len(missing)}: {cell.name} {cell.data} {cell.presentations} "
              f"seed {cell.seed} {top1:.1f} % in {line['seconds']} s", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
