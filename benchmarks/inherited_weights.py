"""Do weights that a parent hands down rank its children better at equal cost?

    python benchmarks/inherited_weights.py [--out FILE.json] [--report] [--write]

Children are walks of one to three mutations from EfficientViM-M1 in the space of
sweeps/search_cpu.yaml, drawn by a written seed before anything is trained. Each is trained three
ways, as the training study trains: for a short while with weights handed down by the parent,
which was trained as short from scratch; as short from scratch, plus its share of the parent's
training, so that both ways cost the same; and long from scratch with two other seeds, which is the
truth. What is asked is which short way orders the children more like the long one. FILE gains a
training at a time: stop it whenever you like. `--write` puts the answer into
docs/reference/proxy.md.
"""

import argparse
import json
import random
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import torch
from torch import nn

from evnas.arch.spec import ArchSpec
from evnas.measure.models import proxy_model
from evnas.phases.base import Workshop
from evnas.phases.proxy import BUDGET_FIELDS, loaded
from evnas.proxy.budget import ProxyBudget
from evnas.proxy.handed_down import hand_down
from evnas.proxy.seeding import seeded
from evnas.proxy.training import train
from evnas.space.mutation import mutate
from evnas.space.space import SearchSpace
from evnas.stats.rank_correlation import Agreement, kendall, kendall_gain
from evnas.sweep.search_spec import SearchSpec
from evnas.sweep.sweep import load_sweep

sys.path.append(str(Path(__file__).parent / "training_study"))

from page_section import folded, write_section
from train import BATCH, EPOCHS, proxy_of

ROOT = Path(__file__).parents[1]
SWEEP = ROOT / "sweeps/search_cpu.yaml"
OUT = ROOT / "results/reference/inherited_weights.json"
PAGE, SECTION = ROOT / "docs/reference/proxy.md", "figures of inherited weights"
CHILDREN, WALK, DRAW_SEED = 16, 3, 0
SHORT, LONG = 2_400, 12_000
SHARED = -(-SHORT // CHILDREN // (BATCH * EPOCHS)) * BATCH * EPOCHS
"""A child's share of its parent's training, in whole batches of each epoch."""
INHERITED, SCRATCH, TRUTH = "inherited", "from scratch", "long, from scratch"
LEAST_CHILDREN = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One training of a child."""

    child: int
    kind: str
    presentations: int
    seed: int

    @property
    def key(self) -> tuple[int, str, int]:
        """What it is known by in the file."""
        return self.child, self.kind, self.seed


def cells() -> list[Cell]:
    """The short trainings of all children first."""
    kinds = [
        (INHERITED, SHORT, 0),
        (SCRATCH, SHORT + SHARED, 0),
        (TRUTH, LONG, 1),
        (TRUTH, LONG, 2),
    ]
    return [
        Cell(child=child, kind=kind, presentations=presentations, seed=seed)
        for kind, presentations, seed in kinds
        for child in range(CHILDREN)
    ]


def children() -> tuple[ArchSpec, list[ArchSpec]]:
    """The parent, and its children: different ones, child i by i % WALK + 1 mutations."""
    sweep = load_sweep(SWEEP)
    assert isinstance(sweep.spec, SearchSpec)
    space = SearchSpace.from_spec(sweep.spec.space, sweep.base)
    start = space.encode(sweep.base)
    assert not isinstance(start, str), start
    found: dict[str, ArchSpec] = {}
    rng = random.Random(f"inherited weights {DRAW_SEED}")
    while len(found) < CHILDREN:
        point, arch = start, sweep.base
        for _ in range(len(found) % WALK + 1):
            point, arch = mutate(space, point, rng)
        if arch.digest != sweep.base.digest:
            found.setdefault(arch.digest, arch)
    return sweep.base, list(found.values())


def trained(
    arch: ArchSpec, presentations: int, seed: int, workshop: Workshop, parent: nn.Module | None
) -> tuple[nn.Module, dict[str, Any]]:
    """A model after its training, and what is written of it."""
    proxy = proxy_of(arch, presentations).model_dump(mode="json")
    data = loaded(proxy, "cpu", workshop)
    with seeded(seed, "init"):
        model = proxy_model(arch.to_dict(), proxy, classes=len(data.classes))
    share = 0.0 if parent is None else hand_down(parent, model)
    budget = ProxyBudget(**{name: proxy[name] for name in BUDGET_FIELDS})
    result = train(model, data, budget, seed=seed)
    return model, {
        "presentations": result.images,
        "status": result.status,
        "top1_percent": result.values().get("top1_percent"),
        "share_handed_down": round(share, 4),
        "seconds": round(result.seconds, 1),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "date": date.today().isoformat(),
    }


def opened(file: Path) -> dict[str, Any]:
    """What there is; a new file says which children there will be, before any training.

    Raises:
        ValueError: it is of other children.
    """
    parent, all_children = children()
    about = {
        "parent": parent.digest,
        "children": [child.digest for child in all_children],
        "short": SHORT,
        "shared": SHARED,
        "long": LONG,
    }
    if not file.exists():
        return {"about": about, "lines": []}
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    if found["about"] != about:
        raise ValueError(f"{file} must be of the same children and budgets; name another --out")
    return found


def write(file: Path, found: Mapping[str, Any]) -> None:
    """All or nothing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    whole = file.with_suffix(".part")
    whole.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    whole.replace(file)


def train_missing(found: dict[str, Any], file: Path, most: int) -> None:
    """Train what is missing; the parent again where a child needs its weights."""
    there = {(line["child"], line["kind"], line["seed"]) for line in found["lines"]}
    missing = [cell for cell in cells() if cell.key not in there][:most]
    base, all_children = children()
    workshop = Workshop()
    parent: nn.Module | None = None
    if any(cell.kind == INHERITED for cell in missing):
        parent, line = trained(base, SHORT, 0, workshop, None)
        print(f"parent: {line['top1_percent']:.1f} % in {line['seconds']} s", flush=True)
    for done, cell in enumerate(missing, start=1):
        arch = all_children[cell.child]
        handed = parent if cell.kind == INHERITED else None
        _, line = trained(arch, cell.presentations, cell.seed, workshop, handed)
        found["lines"].append({"child": cell.child, "kind": cell.kind, "seed": cell.seed, **line})
        write(file, found)
        print(f"{done} of {len(missing)}: child {cell.child} {cell.kind} seed {cell.seed} "
              f"{line['top1_percent']} % in {line['seconds']} s", flush=True)  # fmt: skip


def of_kind(lines: Sequence[Mapping[str, Any]], kind: str) -> list[float | None]:
    """Top-1 of each child, the mean of its seeds; None while one is missing."""
    seeds = {cell.seed for cell in cells() if cell.kind == kind}
    found: list[float | None] = []
    for child in range(CHILDREN):
        own = [
            line["top1_percent"]
            for line in lines
            if line["kind"] == kind and line["child"] == child and line["status"] == "complete"
        ]
        found.append(statistics.mean(own) if len(own) == len(seeds) else None)
    return found


def of_seed(lines: Sequence[Mapping[str, Any]], seed: int) -> list[float | None]:
    """Top-1 of each child after one of the long trainings; None while it is missing."""
    found = {
        line["child"]: line["top1_percent"]
        for line in lines
        if line["kind"] == TRUTH and line["seed"] == seed and line["status"] == "complete"
    }
    return [found.get(child) for child in range(CHILDREN)]


def report(lines: Sequence[Mapping[str, Any]]) -> str:
    """The answer, whichever way it falls."""
    inherited, scratch, truth = (of_kind(lines, kind) for kind in (INHERITED, SCRATCH, TRUTH))
    counts = ", ".join(
        f"{kind} {sum(value is not None for value in of_kind(lines, kind))}"
        for kind in (INHERITED, SCRATCH, TRUTH)
    )
    said = [
        f"{CHILDREN} children of EfficientViM-M1 by one to three mutations (drawn with seed "
        f"{DRAW_SEED}); trained so far: {counts}. Truth: {LONG:,} presentations, two seeds. "
        f"Equal cost: {SHORT:,} presentations after weights handed down, {SHORT + SHARED:,} from "
        "scratch.",
    ]
    known = [
        all(v is not None for v in each) for each in zip(inherited, scratch, truth, strict=True)
    ]
    if sum(known) < LEAST_CHILDREN:
        said.append("**No answer yet**: fewer than 8 children are trained in all three ways.")
        return "\n\n".join(said) + "\n"
    gain = kendall_gain(inherited, scratch, truth)
    rows = [
        (INHERITED, kendall(inherited, truth), _mean(inherited)),
        (SCRATCH, kendall(scratch, truth), _mean(scratch)),
    ]
    seeds = sorted({cell.seed for cell in cells() if cell.kind == TRUTH})
    once, again = (of_seed(lines, seed) for seed in seeds)
    table = ["| trained | tau with long training | mean top-1 |", "| --- | --- | --- |"]
    table += [f"| {name} | {_spelt(tau)} | {mean} |" for name, tau, mean in rows]
    said += [
        "\n".join(table),
        _verdict(gain),
        f"The two long seeds agree on the order by {_spelt(kendall(once, again))}; a "
        "short training cannot be expected to find an order that they do not share.",
    ]
    return "\n\n".join(said) + "\n"


def _mean(values: Sequence[float | None]) -> str:
    return f"{statistics.mean(value for value in values if value is not None):.1f} %"


def _spelt(found: Agreement | None) -> str:
    return "-" if found is None else f"{found.tau:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"


def _verdict(gain: Agreement | None) -> str:
    said = f"Gain of weights handed down, over the same children: {_spelt(gain)}: "
    if gain is None or gain.low <= 0 <= gain.high:
        return said + "**cannot tell**."
    return said + ("**they rank better**." if gain.low > 0 else "**they rank worse**.")


def main() -> None:
    """Train what is missing, and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--most", type=int, default=10**6, help="trainings of this run")
    parser.add_argument("--report", action="store_true", help="train nothing")
    parser.add_argument("--write", action="store_true", help="the answer into the page")
    given = parser.parse_args()
    found = opened(given.out)
    if not given.report:
        train_missing(found, given.out, given.most)
    text = report(found["lines"])
    print(text, end="")
    if given.write:
        write_section(PAGE, SECTION, folded(text))


if __name__ == "__main__":
    main()
