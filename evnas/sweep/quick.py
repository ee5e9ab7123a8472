"""What `--quick` makes of a sweep: the same rows and targets, each as cheap as still tells.

Rows, published figures and counts stay; what is timed and trained becomes smaller.
"""

from collections.abc import Mapping
from typing import Any

from evnas.sweep.parts import ProxySpec
from evnas.sweep.search_spec import SearchSpec
from evnas.sweep.spec import AblationSpec

SPEED_S = 1.0
"""Warm-up and rounds of one row."""
SCALE = 0.5
"""Of the side of every image that is timed, or less:"""
SIDE = 256
"""the largest one. Smaller ones shrink with it, so that resolutions keep their order."""
WIDTH = 0.25
IMAGES = 640
"""Image presentations of one training."""
BATCH = 16
"""Of a training, at most: the few steps then suffice for the statistics of batch norms, without
which held-out images are guessed at chance."""
HELD_OUT, CURVE = 500, 200
"""Images behind its top-1, and behind the curve's other points."""
TRIALS = 8
MINUTES = 3.0
SEEDS = 2
"""Of a confirmation."""


def quick_form(spec: AblationSpec | SearchSpec) -> dict[str, Any]:
    """A sweep cut down to a first look, as plain data, under the name `<name>_quick`.

    Batches become `auto`, which bounds what one forward costs on any device. What the file says
    under `quick` comes on top and is not applied here.
    """
    raw = spec.with_open_runtimes()
    raw["title"] = f"{spec.title or spec.name} (a first look by --quick)"
    raw["name"] += "_quick"
    raw["seeds"] = raw["seeds"][:1]
    scale = _scale(spec)
    for target in raw["targets"]:
        budget_s = target["budget_s"]
        target["budget_s"] = SPEED_S if budget_s == "auto" else min(SPEED_S, budget_s)
        target["batch_size"] = "auto"
        target["resolution_scale"] *= scale
    if spec.proxy is not None:
        raw["proxy"] = _short(raw["proxy"], epochs=_epochs(spec, spec.proxy))
    if raw["predict"] is not None:
        raw["predict"]["seeds"] = 1
    if isinstance(spec, SearchSpec):
        _end_soon(raw)
    return raw


def _scale(spec: AblationSpec | SearchSpec) -> float:
    rows = spec.rows.values() if isinstance(spec, AblationSpec) else ()
    sides = [row["resolution"] for row in rows if row and "resolution" in row]
    sides += [target.resolution for target in spec.targets]
    return min(SCALE, SIDE / max(sides, default=SIDE))


def _epochs(spec: AblationSpec | SearchSpec, proxy: ProxySpec) -> int:
    """One, or all where the rungs of successive halving are made of them."""
    halves = isinstance(spec, SearchSpec) and spec.strategy.rungs_of(0.0)
    return proxy.epochs if halves else 1


def _short(proxy: Mapping[str, Any], *, epochs: int) -> dict[str, Any]:
    batch = min(BATCH, proxy["batch_size"])
    least = batch * proxy["points_per_epoch"]
    images = min(proxy["images_per_epoch"], max(least, IMAGES // epochs))
    return dict(proxy) | {
        "width": min(WIDTH, proxy["width"]),
        "batch_size": batch,
        "epochs": epochs,
        "images_per_epoch": images,
        "held_out_images": min(HELD_OUT, proxy["held_out_images"]),
        "curve_images": min(CURVE, proxy["curve_images"]),
    }


def _end_soon(raw: dict[str, Any]) -> None:
    budget = raw["budget"]
    budget["trials"] = min(TRIALS, budget["trials"] or TRIALS)
    budget["minutes"] = min(MINUTES, budget["minutes"] or MINUTES)
    if raw["confirm"] is not None:
        raw["confirm"]["seeds"] = min(SEEDS, raw["confirm"]["seeds"])
