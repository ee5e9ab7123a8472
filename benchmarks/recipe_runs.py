"""Does a paper's recipe work on two cores? `python benchmarks/recipe_runs.py`.

Trains a tiny EfficientViM-M1 on the shipped Fashion-MNIST by `--recipe efficientvim` with epochs
cut, beside the proxy's own training of the same network; and the winner of the reference search
beside M1, at one width, with three seeds each. The most telling trainings go first. The file of
curves gains a line when a training ends, what has a line is not trained again, and a training
that was killed goes on from its checkpoint: stop it whenever you like.

    python benchmarks/recipe_runs.py [--work FOLDER] [--most N]
    python benchmarks/recipe_runs.py --figures        # recomputes what the guide says; no torch
    python benchmarks/recipe_runs.py --write          # and puts it there, with the curves drawn
"""

import argparse
import itertools
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Literal

from evnas.arch.catalog import entry
from evnas.arch.paths import edit
from evnas.arch.spec import ArchSpec
from evnas.commands.svg_page import svg_page
from evnas.errors import DataError
from evnas.files import write_whole
from evnas.report.page.colours import PALETTE
from evnas.stats.interval import Interval
from evnas.stats.proportions import share_percent, student_mean

sys.path.append(str(Path(__file__).parent / "training_study"))

from page_section import write_section

ROOT = Path(__file__).parents[1]
CURVES = ROOT / "results/reference/recipe_runs/curves.jsonl"
CHECK = ROOT / "results/reference/search_cpu_2026-11-29/check.json"
PAGE = ROOT / "docs/guide/training.md"
FIGURE = ROOT / "docs/images/recipe_runs.svg"
SECTION = "figures of the recipe's runs"

M1, WINNER = "efficientvim_m1", "winner"
"""The anchor; and of the search's candidates at least as fast, the one predicted best."""
DATA, HELD_OUT = "fashion-mnist-12k", 2_000
TRAIN_IMAGES, CLASSES = 10_000, 10
SIDE, STEM_STRIDE, WIDTH = 32, 4, 0.25
BATCH = 50
FEW, SOME, MANY = 1, 2, 4
"""Epochs of the recipe; `SOME` for the winner and M1, with all seeds."""
CHANGES: Mapping[str, Any] = {
    "warmup_epochs": 0,
    "cooldown_epochs": 0,
    "batch_size": BATCH,
    "ema_decay": 0.99,
}
"""Of the recipe's fields beside `epochs`: what 300 epochs of a million images have and some
hundred steps cannot. All others stay as printed."""
SEEDS = (0, 1, 2)

Way = Literal["recipe", "proxy"]
Line = Mapping[str, Any]
Key = tuple[str, str, int, int]
"""Name, way, epochs, seed."""
USUAL_PROXY = 0
"""Epochs of a proxy's cell that is trained as a search trains it, unasked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One training."""

    name: str
    way: Way
    epochs: int
    seed: int = 0

    @property
    def key(self) -> Key:
        """What it is known by in the file."""
        return self.name, self.way, self.epochs, self.seed


def runs() -> list[Run]:
    """Every training, the most telling first."""
    return [
        Run(name=M1, way="proxy", epochs=USUAL_PROXY),
        Run(name=M1, way="recipe", epochs=SOME),
        Run(name=M1, way="recipe", epochs=FEW),
        Run(name=WINNER, way="recipe", epochs=SOME),
        *(
            Run(name=name, way="recipe", epochs=SOME, seed=seed)
            for seed in SEEDS[1:]
            for name in (WINNER, M1)
        ),
        Run(name=M1, way="recipe", epochs=MANY),
        Run(name=M1, way="proxy", epochs=SOME),
    ]


def settings() -> dict[str, Any]:
    """What all lines of a file must have in common."""
    return {
        "data": DATA,
        "resolution": SIDE,
        "stem_stride": STEM_STRIDE,
        "width": WIDTH,
        "changes": dict(CHANGES),
    }


def winner() -> Mapping[str, Any]:
    """What the search's check holds of its first choice: label, arch, speed over M1's, ..."""
    chosen = json.loads(CHECK.read_text(encoding="utf-8"))["chosen"]
    found: Mapping[str, Any] = next(one for one in chosen if one["role"] == "best")
    return found


def whole_arch(name: str) -> ArchSpec:
    """The architecture at its own width."""
    return entry(M1).arch if name == M1 else ArchSpec.from_dict(winner()["arch"])


def tiny(name: str) -> ArchSpec:
    """What is trained of it."""
    scaled = whole_arch(name).scaled(WIDTH, stem_stride=STEM_STRIDE)
    return edit(scaled, {"num_classes": CLASSES})


def lines_in(file: Path) -> list[Line]:
    """The trainings that have ended; none where there is no file.

    Raises:
        DataError: one was trained under other settings than those of this script.
    """
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    lines = [json.loads(line) for line in text.splitlines()]
    for number, line in enumerate(lines, start=1):
        if line["settings"] != settings():
            raise DataError(
                f"{file}:{number} must be trained with {settings()}, it was with "
                f"{line['settings']}; name another --out"
            )
    return lines


def key_of(line: Line) -> Key:
    """Which run a line is of."""
    return line["name"], line["way"], line["epochs"], line["seed"]


def by_recipe(run: Run, work: Path) -> dict[str, Any]:
    """One training as `evnas train` does it, or the rest of it."""
    from evnas.train.config import TrainConfig
    from evnas.train.recipes import recipe_of, with_changes
    from evnas.train.training import train

    named = with_changes(recipe_of("efficientvim:base"), [], {**CHANGES, "epochs": run.epochs})
    output = work / "-".join(map(str, run.key))
    config = TrainConfig(
        arch=tiny(run.name),
        recipe=named.recipe,
        recipe_name=named.name,
        data=DATA,
        output=output,
        resolution=SIDE,
        seed=run.seed,
        workers=0,
        checkpoint_minutes=2.0,
    )
    result = train(config, tell=lambda text: print(f"  {text}", flush=True))
    if result.status == "stopped":
        raise SystemExit(f"stopped: {result.error}; call again to go on")
    costs = (output / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    keep = ("loss", "top1_percent", "held_out_loss", "ema_top1_percent", "ema_held_out_loss")
    return {
        "status": result.status,
        "error": result.error,
        "curve": [
            {"images": int(point["epoch"]) * TRAIN_IMAGES, **{k: point[k] for k in keep}}
            for point in result.curve
        ],
        "seconds": round(sum(json.loads(row)["seconds"] for row in costs), 1),
    }


def by_proxy(run: Run, work: Path) -> dict[str, Any]:
    """The proxy's training of the same network: as searches do it, or with as many images.

    No speed is taken, so it does not wait for the device as a search's proxy does.
    """
    from evnas.phases.proxy import BUDGET_FIELDS, fresh_model
    from evnas.proxy.budget import ProxyBudget
    from evnas.proxy.data import load_data
    from evnas.proxy.training import train
    from evnas.sweep.parts import ProxySpec

    asked: dict[str, Any] = {
        "data": DATA,
        "resolution": SIDE,
        "stem_stride": STEM_STRIDE,
        "width": WIDTH,
        "curve_images": HELD_OUT,
        "device": "cpu",
    }
    if run.epochs != USUAL_PROXY:
        asked |= {"epochs": run.epochs, "images_per_epoch": TRAIN_IMAGES, "batch_size": BATCH,
                  "points_per_epoch": 1}  # fmt: skip
    proxy = ProxySpec(**asked).model_dump(mode="json")
    data = load_data(DATA, resolution=SIDE)
    whole = whole_arch(run.name)  # the proxy scales it
    model = fresh_model(whole.to_dict(), proxy, seed=run.seed, classes=len(data.classes))
    budget = ProxyBudget(**{name: proxy[name] for name in BUDGET_FIELDS if name in proxy})
    found = train(model, data, budget, seed=run.seed)
    keep = ("images", "loss", "top1_percent")
    return {
        "status": found.status,
        "error": found.error,
        "curve": [{k: point.to_dict()[k] for k in keep} for point in found.curve],
        "seconds": round(found.train_seconds, 1),
    }


def trained(run: Run, work: Path) -> dict[str, Any]:
    """The line of a run."""
    import torch

    from evnas.measure.counting.flops import count

    train = by_recipe if run.way == "recipe" else by_proxy
    found = train(run, work)
    cost = count(tiny(run.name), SIDE)
    return {
        "name": run.name,
        "way": run.way,
        "epochs": run.epochs,
        "seed": run.seed,
        "digest": whole_arch(run.name).digest,
        "params": cost.params,
        "macs": cost.macs["exact"],
        **found,
        "settings": settings(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "machine": platform.processor() or platform.machine(),
        "date": date.today().isoformat(),
    }


def train_missing(file: Path, work: Path, *, most: int) -> None:
    """Train what has no line yet, and append a line after each."""
    there = {key_of(line) for line in lines_in(file)}
    missing = [run for run in runs() if run.key not in there]
    file.parent.mkdir(parents=True, exist_ok=True)
    for done, run in enumerate(missing[:most], start=1):
        print(f"{done} of {len(missing)}: {run}", flush=True)
        began = time.monotonic()
        line = trained(run, work)
        lines = [*lines_in(file), line]
        write_whole(file, "".join(json.dumps(each) + "\n" for each in lines))
        took = time.monotonic() - began
        print(f"{run.key}: {line['status']}, {last_of(line):.2f} % in {took:.0f} s", flush=True)


def last_of(line: Line, quantity: str = "top1_percent") -> float:
    """Top-1 after the last epoch; not the best of all epochs, which the held-out images chose."""
    return float(line["curve"][-1][quantity]) if line["curve"] else float("nan")


def complete(lines: Sequence[Line]) -> dict[Key, Line]:
    """Those that came to their end."""
    return {key_of(line): line for line in lines if line["status"] == "complete"}


def of_images(line: Line) -> Interval:
    """Its top-1 with Wilson's interval over the held-out images."""
    return share_percent(round(last_of(line) * HELD_OUT / 100), HELD_OUT)


def paired(lines: Sequence[Line]) -> list[tuple[Line, Line]]:
    """The winner's and M1's trainings, of each seed that both have."""
    there = complete(lines)
    return [
        (there[ours], there[theirs])
        for seed in SEEDS
        if (ours := (WINNER, "recipe", SOME, seed)) in there
        and (theirs := (M1, "recipe", SOME, seed)) in there
    ]


def gain(pairs: Sequence[tuple[Line, Line]], quantity: str) -> Interval:
    """The winner's top-1 less M1's over two seeds or more, with Student's interval."""
    return student_mean([last_of(a, quantity) - last_of(b, quantity) for a, b in pairs])


def markdown(lines: Sequence[Line]) -> str:
    """The guide's section."""
    there = complete(lines)
    wanted = runs()
    missing = sum(run.key not in there for run in wanted)
    parts = [
        _about(there),
        "![Top-1 against images](../images/recipe_runs.svg)",
        _table(there),
        _proxy_beside_recipe(there),
        _winner_beside_m1(lines),
    ]
    if missing:
        parts.append(f"{missing} of {len(wanted)} trainings are not there yet.")
    return "\n\n".join(part for part in parts if part) + "\n"


def _about(there: Mapping[Key, Line]) -> str:
    changes = ", ".join(f"`{name}` {value}" for name, value in CHANGES.items())
    first = next(iter(there.values()), None)
    where = "" if first is None else (
        f" torch {first['torch']}, {_threads(there)} on {first['machine']}, {first['date']}, "
        "the machine shared with other work, so minutes are upper bounds."
    )  # fmt: skip
    sizes = ", ".join(
        f"{_shown(name)} {found['params'] / 1e6:.2f} M parameters and {found['macs'] / 1e6:.2f} M "
        "multiply-adds"
        for name in (M1, WINNER)
        for found in [next((line for key, line in there.items() if key[0] == name), None)]
        if found is not None
    )
    return (
        f"`python benchmarks/recipe_runs.py` trains EfficientViM-M1 at width {WIDTH:g}, {SIDE} "
        f"pixels and a stem of stride {STEM_STRIDE} on `{DATA}` ({TRAIN_IMAGES:,} images; "
        f"{HELD_OUT:,} held out) by `--recipe efficientvim` with epochs cut and {changes}; all "
        "else as printed. The proxy trains the same network as a search does, and once with as "
        "many images as the recipe. The winner is the candidate of the reference search "
        f"(trial {winner()['label']}) that was predicted best among those as fast as M1."
        + (f" At this size: {sizes}." if sizes else "")
        + where
    )  # fmt: skip


def _threads(there: Mapping[Key, Line]) -> str:
    counts = sorted({line["threads"] for line in there.values()})
    return " or ".join(map(str, counts)) + (" thread" if counts == [1] else " threads")


def epochs_of(count: int) -> str:
    """`1 epoch`, `2 epochs`."""
    return f"{count} epoch{'' if count == 1 else 's'}"


def _shown(name: str) -> str:
    return "M1" if name == M1 else "the winner"


def _table(there: Mapping[Key, Line]) -> str:
    rows = [
        "| network | trained by | images shown | seed | top-1 % after the last epoch | of the "
        "average | minutes of training |",
        "|---|---|---|---|---|---|---|",
    ]
    for run in sorted(runs(), key=lambda one: (one.name != M1, one.way, one.epochs, one.seed)):
        line = there.get(run.key)
        if line is None:
            continue
        images = line["curve"][-1]["images"]
        by = f"recipe, {epochs_of(run.epochs)}" if run.way == "recipe" else "proxy"
        span = of_images(line)
        average = (
            f"{last_of(line, 'ema_top1_percent'):.1f}" if run.way == "recipe" else "none"
        )  # fmt: skip
        rows.append(
            f"| {_shown(run.name)} | {by} | {images:,} | {run.seed} | {span.mid:.1f} "
            f"[{span.low:.1f}, {span.high:.1f}] | {average} | {line['seconds'] / 60:.1f} |"
        )
    return "\n".join(rows)


def _proxy_beside_recipe(there: Mapping[Key, Line]) -> str:
    proxy = there.get((M1, "proxy", USUAL_PROXY, 0))
    by_epochs = {
        epochs: there[key]
        for epochs in (FEW, SOME, MANY)
        if (key := (M1, "recipe", epochs, 0)) in there
    }
    if proxy is None or not by_epochs:
        return ""
    spans = {epochs: of_images(line) for epochs, line in by_epochs.items()}
    said = [
        f"after {epochs_of(epochs)} {span.mid:.1f} % ({compared(span, of_images(proxy))})"
        for epochs, span in spans.items()
    ]
    mids = [span.mid for span in spans.values()]
    rises = all(a < b for a, b in itertools.pairwise(mids))
    more = "" if len(mids) < 2 else (
        " More epochs gave more each time." if rises else " More epochs did not give more each "
        "time."
    )  # fmt: skip
    return (
        f"The proxy's {proxy['curve'][-1]['images']:,} images reach {last_of(proxy):.1f} %; the "
        f"recipe {', '.join(said)}, by the intervals over images.{more}"
    )


def compared(ours: Interval, theirs: Interval) -> str:
    """`more`, `less`, or that it cannot be told, where intervals overlap."""
    if ours.low > theirs.high:
        return "more"
    return "less" if ours.high < theirs.low else "no difference that can be told"


def _winner_beside_m1(lines: Sequence[Line]) -> str:
    pairs = paired(lines)
    if len(pairs) < 2:
        return ""
    span, average = gain(pairs, "top1_percent"), gain(pairs, "ema_top1_percent")
    sure = "is better" if span.low > 0 else "is worse" if span.high < 0 else "cannot be told from"
    beside = "than M1" if sure != "cannot be told from" else "M1"
    winner_s, m1_s = (statistics.mean(map(last_of, each)) for each in zip(*pairs, strict=True))
    return (
        f"Winner against M1, {epochs_of(SOME)}, {len(pairs)} seeds each: {winner_s:.1f} % and "
        f"{m1_s:.1f} %, a difference of {_signed(span)} points, of the averages "
        f"{_signed(average)} (Student's interval over seeds): here the winner {sure} {beside}. "
        f"The search predicted {winner()['predicted'] - _predicted_m1():+.1f} points on ImageNet "
        "at whole width."
    )


def _predicted_m1() -> float:
    chosen = json.loads(CHECK.read_text(encoding="utf-8"))["chosen"]
    return float(next(one["predicted"] for one in chosen if one["role"] == M1))


def _signed(span: Interval) -> str:
    return f"{span.mid:+.1f} [{span.low:+.1f}, {span.high:+.1f}]"


PLOT_WIDTH, PLOT_HEIGHT, LEFT, TOP, GAP = 360, 240, 50, 30, 120


def figure(lines: Sequence[Line]) -> str:
    """An SVG of two panels: how long the recipe runs, and the winner beside M1."""
    there = complete(lines)
    longer = [
        (f"recipe, {epochs_of(epochs)}", PALETTE[i], [there[key]])
        for i, epochs in enumerate((FEW, SOME, MANY))
        if (key := (M1, "recipe", epochs, 0)) in there
    ] + [
        (f"proxy, {there[key]['curve'][-1]['images']:,} images", colour, [there[key]])
        for epochs, colour in ((USUAL_PROXY, PALETTE[3]), (SOME, PALETTE[6]))
        if (key := (M1, "proxy", epochs, 0)) in there
    ]
    seeds = [
        (_shown(name), colour, found)
        for name, colour in ((WINNER, PALETTE[1]), (M1, PALETTE[0]))
        if (found := [there[key] for seed in SEEDS
                      if (key := (name, "recipe", SOME, seed)) in there])
    ]  # fmt: skip
    panels = [("M1, seed 0", longer), (f"{epochs_of(SOME)} of the recipe, each seed", seeds)]
    width = LEFT + 2 * (PLOT_WIDTH + GAP)
    return svg_page(
        [
            f'<g transform="translate({LEFT + i * (PLOT_WIDTH + GAP)},0)">{_panel(*panel)}</g>'
            for i, panel in enumerate(panels)
        ],
        width=width,
        height=TOP + PLOT_HEIGHT + 45,
    )


def _panel(title: str, curves: Sequence[tuple[str, str, Sequence[Line]]]) -> str:
    points = [p for _, _, lines in curves for line in lines for p in line["curve"]]
    parts = [f'<text x="0" y="16" class="title">{title}</text>']
    if not points:
        return parts[0]
    most: int = max(point["images"] for point in points)
    low: int = 10 * int(min(point["top1_percent"] for point in points) // 10)
    bottom = TOP + PLOT_HEIGHT

    def across(images: float) -> float:
        return PLOT_WIDTH * images / most

    def up(top1: float) -> float:
        return bottom - PLOT_HEIGHT * (top1 - low) / (100 - low)

    for value in range(low, 101, 10):
        y = up(value)
        parts.append(
            f'<line x1="0" y1="{y:.1f}" x2="{PLOT_WIDTH}" y2="{y:.1f}" stroke="#ddd"/>'
            f'<text x="-6" y="{y + 4:.1f}" class="end">{value}</text>'
        )
    for number, (name, colour, lines) in enumerate(curves):
        for line in lines:
            path = " ".join(
                f"{across(p['images']):.1f},{up(p['top1_percent']):.1f}" for p in line["curve"]
            )
            parts.append(
                f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>'
            )
            parts += [  # a training of one epoch is a point
                f'<circle cx="{across(p["images"]):.1f}" cy="{up(p["top1_percent"]):.1f}" r="2.5" '
                f'fill="{colour}"/>'
                for p in line["curve"]
            ]
        parts.append(
            f'<text x="{PLOT_WIDTH - 4}" y="{bottom - 8 - 16 * number}" class="end" '
            f'style="fill:{colour}">{name}</text>'
        )
    parts.append(
        f'<text x="0" y="{bottom + 18}">0</text>'
        f'<text x="{PLOT_WIDTH}" y="{bottom + 18}" class="end">{most:,} images</text>'
        f'<text x="0" y="{bottom + 36}">held-out top-1 in percent after each epoch</text>'
    )
    return "".join(parts)


def main() -> None:
    """Train what is missing; or print what the lines say; or write it into the guide."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=CURVES)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "recipe_runs",
                        help="checkpoints of trainings under way")  # fmt: skip
    parser.add_argument("--most", type=int, default=10**6, help="trainings of this call")
    parser.add_argument("--figures", action="store_true", help="print, train nothing")
    parser.add_argument("--write", action="store_true", help="write the guide's section")
    given = parser.parse_args()
    if given.figures or given.write:
        lines = lines_in(given.out)
        text = markdown(lines)
        print(text, end="")
        if given.write:
            write_section(PAGE, SECTION, text)
            write_whole(FIGURE, figure(lines))
        return
    train_missing(given.out, given.work, most=given.most)


if __name__ == "__main__":
    main()
