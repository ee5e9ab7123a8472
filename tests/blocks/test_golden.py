"""Logits and maps of the released models, recomputed here from the same weights and inputs."""

import copy
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import torch
from reference_data import golden_arrays, golden_json, image
from torch import Tensor

from evnas.blocks.backbone import Backbone

# The reference pages' suggestions, absolute on logits; maps are normal-sized and get the same.
TOLERANCE = {"efficientvim": 1e-5, "vssd": 1.5e-4, "vmamba": 5e-6}

LARGE_MAPS = "vssd"
"""Whose maps hold values to 90, so that what float32 rounds away differs by CPU by more than the
tolerance: these are compared in float64, the logits as they are."""

RUNS = {
    "efficientvim_m1": [(2, 3, 224, 224), (2, 3, 256, 256)],
    "efficientvim_m1_dist": [(2, 3, 224, 224), (2, 3, 256, 256)],
    "efficientvim_m2": [(2, 3, 224, 224), (2, 3, 256, 256)],
    "vssd_micro": [(2, 3, 224, 224), (2, 3, 256, 256)],
    "vssd_tiny": [(2, 3, 224, 224), (2, 3, 256, 256)],
    "vanilla_vmamba_tiny": [(2, 3, 224, 224), (1, 3, 192, 256), (1, 3, 200, 232)],
    "vmamba_tiny_s1l8": [(2, 3, 224, 224), (1, 3, 192, 256), (1, 3, 200, 232)],
    "efficient_vmamba_tiny": [(2, 3, 224, 224), (1, 3, 192, 256), (1, 3, 200, 232)],
    "abl_eff_es2d_only": [(1, 3, 224, 224), (1, 3, 192, 256), (1, 3, 200, 232)],
    "abl_mlp2_ssm2.5": [(1, 3, 192, 256)],
    "abl_nodwconv": [(1, 3, 224, 224), (1, 3, 192, 256)],
    "abl_scan_cascade": [(1, 3, 224, 224), (1, 3, 192, 256)],
    "abl_scan_unidi": [(1, 3, 224, 224), (1, 3, 192, 256)],
    "abl_step_e_N16_r1_noz_nodw": [(1, 3, 224, 224), (1, 3, 192, 256)],
}
CASES = [(name, shape) for name, shapes in RUNS.items() for shape in shapes]


def tolerance(name: str) -> float:
    """Of a model, by its family."""
    return next((t for family, t in TOLERANCE.items() if name.startswith(family)), 5e-6)


@pytest.mark.parametrize(("name", "shape"), CASES, ids=str)
def test_logits_and_maps_are_those_of_the_release(
    name: str, shape: tuple[int, ...], reference_model: Callable[[str], Backbone]
) -> None:
    model = reference_model(name)
    with torch.inference_mode(), outputs(model) as seen:
        logits = model(image(*shape))
    arrays = golden_arrays(name)
    wanted = arrays.get(f"logits_{shape[2]}", arrays.get("logits_" + "x".join(map(str, shape))))
    deviation = (logits - torch.from_numpy(wanted)).abs().max().item()
    assert deviation <= tolerance(name)
    if name.startswith(LARGE_MAPS):
        whole = copy.deepcopy(model).double()
        with torch.inference_mode(), outputs(whole) as seen:
            whole(image(*shape).double())
    for place, record in golden_maps(name, shape):
        compare(place, ours_of(model, seen, place, name), record, tolerance(name))


def golden_maps(name: str, shape: tuple[int, ...]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(place, statistics) of the maps on record for a run."""
    if name.startswith("abl_") or name == "efficientvim_m1_dist":
        return
    if name.startswith(("efficientvim", "vssd")):
        yield from golden_json(f"{name}.feats")[str(shape[2])].items()
    else:
        yield from golden_json(f"{name}.stages")["x".join(map(str, shape))].items()


@contextmanager
def outputs(model: Backbone) -> Iterator[dict[str, Any]]:
    """What every module returned, by its name, while this lasts."""
    seen: dict[str, Any] = {}

    def keep(name: str) -> Callable[..., None]:
        return lambda _module, _inputs, output: seen.__setitem__(name, output)

    with ExitStack() as stack:
        for name, module in model.named_modules():
            stack.callback(module.register_forward_hook(keep(name)).remove)
        yield seen


# official place -> our module, and which of its outputs
PLACES = [
    (r"(?:stem|patch_embed)", "stem", 0),
    (r"stage(\d)\.block(\d)\.dwconv1", r"stages.\1.blocks.\2.dwconv1", 0),
    (r"stage(\d)\.block(\d)\.mixer\.dw", r"stages.\1.blocks.\2.mixer.dwconv", 0),
    (r"stage(\d)\.block(\d)\.mixer", r"stages.\1.blocks.\2.mixer", 0),
    (r"stage(\d)\.block(\d)\.h", r"stages.\1.blocks.\2", 1),
    (r"stage(\d)\.block(\d)(?:\.x)?", r"stages.\1.blocks.\2", 0),
    (r"stage(\d)\.down", r"stages.\1.downsample", 0),
    (r"norm(\d)", r"head.norms.\1", 0),
    (r"(?:classifier\.)?norm", "head.norm", 0),
    (r"classifier\.flatten", "head.pool", 0),
    (r"layers\.(\d)\.blocks\.(\d)\.op", r"stages.\1.blocks.\2.mixer", 0),
    (r"layers\.(\d)\.blocks\.(\d)", r"stages.\1.blocks.\2", 0),
    (r"layers\.([012])", r"stages.\1.downsample", 0),
    (r"layers\.3", r"stages.3", 0),
]


def ours_of(model: Backbone, seen: dict[str, Any], place: str, name: str) -> Tensor:
    """The output of ours that an official place names."""
    place = re.sub(
        r"layers\.(\d)\.(\d+)$", lambda m: f"layers.{m[1]}.blocks.{int(m[2]) - 1}", place
    )
    pattern, ours, index = next(p for p in PLACES if re.fullmatch(p[0], place))
    found = seen[re.sub(pattern, ours, place)]
    value: Tensor = found[index] if isinstance(found, tuple) else found
    if name.startswith("vssd"):
        value = value.flatten(2).transpose(1, 2)  # its maps are kept as tokens, (B, L, C)
    return value


def compare(place: str, ours: Tensor, record: dict[str, Any], atol: float) -> None:
    """Size, statistics and samples of one map."""
    assert ours.numel() == torch.Size(record["shape"]).numel(), place
    flat = ours.reshape(-1)
    near = pytest.approx
    assert flat.mean().item() == near(record["mean"], abs=atol), place
    assert flat.std(correction=0).item() == near(record["std"], abs=atol, rel=1e-5), place
    assert flat.abs().max().item() == near(record["absmax"], abs=5 * atol, rel=1e-5), place
    assert flat[:8].tolist() == near(record["first8"], abs=5 * atol), place
    if "last8" in record:
        assert flat[-8:].tolist() == near(record["last8"], abs=5 * atol), place
    if "first8_channels_at_0_0" in record:
        corner = ours[0, :8, 0, 0].tolist()
        assert corner == near(record["first8_channels_at_0_0"], abs=5 * atol), place
