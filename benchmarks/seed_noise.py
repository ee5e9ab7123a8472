"""How far trainings of one architecture that differ in their seed alone lie apart.

    python benchmarks/seed_noise.py --seeds 6 --out evnas/stats/seed_noise.json

Trains EfficientViM-M2 as sweeps/table_c.yaml does, at several budgets, and writes the standard
deviation of held-out top-1 between seeds. What is in the file already is not trained again.
"""

import argparse
import json
import statistics
from datetime import date
from pathlib import Path

import torch

from evnas.arch.catalog import entry
from evnas.phases.base import Workshop
from evnas.phases.proxy import PROXY, ProxyTask
from evnas.phases.work import Work
from evnas.sweep.sweep import load_sweep

IMAGES_PER_EPOCH = (600, 1200, 2400, 4800)
SWEEP = Path(__file__).parents[1] / "sweeps" / "table_c.yaml"


def trained(images: int, seed: int, workshop: Workshop) -> float:
    """Top-1 in percent of one training of two epochs of so many images."""
    overrides = [f"proxy.images_per_epoch={images}"]
    proxy = load_sweep(SWEEP, overrides=overrides).spec.proxy
    assert proxy is not None
    arch = entry("efficientvim_m2").arch
    task = ProxyTask(proxy=proxy.model_dump(mode="json"))
    work = Work(
        label="A", digest=arch.digest, arch=arch.to_dict(), phase="proxy", task=task, seed=seed
    )
    return PROXY.evaluate(work, workshop, lambda *_: None).values["top1_percent"]


def main() -> None:
    """Train what is missing, and write after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    found = json.loads(given.out.read_text()) if given.out.exists() else {"budgets": {}}
    workshop = Workshop()
    for images in IMAGES_PER_EPOCH:
        known = found["budgets"].setdefault(str(2 * images), {"top1_percent": []})
        for seed in range(len(known["top1_percent"]), given.seeds):
            known["top1_percent"].append(round(trained(images, seed, workshop), 3))
            if len(known["top1_percent"]) > 1:
                known["sd_percent"] = round(statistics.stdev(known["top1_percent"]), 3)
            found |= {"date": date.today().isoformat(), "torch": torch.__version__}
            found["of"] = "EfficientViM-M2 as table_c.yaml trains it; presentations -> top-1"
            given.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
