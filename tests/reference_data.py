"""Reference vectors of the released models (tests/data/reference), and the weights they use.

Weights are a function of key and shape alone, so no checkpoint is needed; inputs are standard
normal from seed 1234, drawn afresh for each shape.
"""

import functools
import gzip
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

ROOT = Path(__file__).parent / "data" / "reference"

# what the four families were released as, that this folder knows only by a variant
VARIANTS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "abl_act_gelu": ("vmamba_tiny_s1l8", {"stages[*].mixer.act": "gelu"}),
    "abl_act_relu": ("vmamba_tiny_s1l8", {"stages[*].mixer.act": "relu"}),
    "abl_mlp2_ssm2.5": (
        "vmamba_tiny_s1l8",
        {"stages[*].mlp_ratio": 2.0, "stages[*].mixer.ssm_ratio": 2.5},
    ),
    "abl_nodwconv": ("vmamba_tiny_s1l8", {"stages[*].mixer.conv": False}),
    "abl_scan_bidi": ("vmamba_tiny_s1l8", {"stages[*].mixer.scan": "bidi"}),
    "abl_scan_cascade": ("vmamba_tiny_s1l8", {"stages[*].mixer.scan": "cascade"}),
    "abl_scan_unidi": ("vmamba_tiny_s1l8", {"stages[*].mixer.scan": "unidi"}),
    "abl_step_d_gate_nodw_N16": (
        "vmamba_tiny_s2l5",
        {
            "stages[*].depth": 2,
            "stages[*].mixer.d_state": 16,
            "stages[*].mixer.gate": True,
            "stages[*].mixer.conv": False,
        },
    ),
    "abl_step_e_N16_r1_noz_nodw": (
        "vmamba_tiny_s2l5",
        {
            "stages[*].mixer.d_state": 16,
            "stages[*].mixer.ssm_ratio": 1.0,
            "stages[*].mixer.conv": False,
        },
    ),
    "abl_vanilla_as_v05_ln2d": ("vanilla_vmamba_tiny", {}),
    "abl_eff_es2d_only": (
        "efficient_vmamba_tiny",
        {"stages[*].block": "vanilla_vss", "stages[2:].mixer": {"kind": "es2d"}},
    ),
    "abl_eff_evss_only": (
        "efficient_vmamba_tiny",
        {
            "stages[*].block": "evss",
            "stages[2:].mixer": {"kind": "es2d"},
            "stages[2:].mlp_ratio": 0.0,
        },
    ),
    "abl_eff_inres_inres_evss_evss": (
        "efficient_vmamba_tiny",
        {
            "stages[:2].block": "inres",
            "stages[:2].mlp_ratio": 4.0,
            "stages[2:].block": "evss",
            "stages[2:].mixer": {"kind": "es2d"},
            "stages[2:].mlp_ratio": 0.0,
        },
    ),
    "efficient_vmamba_small_yaml96": (
        "efficient_vmamba_small",
        {"stages[*].dim": [96, 192, 384, 768]},
    ),
}


def manifests() -> list[str]:
    """Names of all manifests."""
    return sorted(f.name.removesuffix(".json.gz") for f in (ROOT / "manifests").iterdir())


def manifest(name: str) -> list[tuple[str, tuple[int, ...]]]:
    """(key, shape) of an official state dict, in its order."""
    return [(key, tuple(shape)) for key, shape, *_ in _read(f"manifests/{name}.json.gz")]


def golden_arrays(name: str) -> dict[str, NDArray[Any]]:
    """The arrays of golden/NAME.npz."""
    with np.load(ROOT / "golden" / f"{name}.npz") as arrays:
        return dict(arrays)


def golden_json(name: str) -> Any:
    """golden/NAME.json."""
    return _read(f"golden/{name}.json.gz")


def _read(path: str) -> Any:
    return json.loads(gzip.decompress((ROOT / path).read_bytes()))


def image(*shape: int) -> torch.Tensor:
    """The reference input of a shape, (B, 3, H, W) float32."""
    drawn = np.random.default_rng(1234).standard_normal(shape)
    return torch.from_numpy(drawn.astype(np.float32))


def weights(name: str) -> dict[str, torch.Tensor]:
    """The reference state dict of a manifest, each tensor drawn from its key's CRC-32."""
    return {key: value.clone() for key, value in _weights(name).items()}


@functools.lru_cache(maxsize=2)
def _weights(name: str) -> Mapping[str, torch.Tensor]:
    """Drawing one takes a second, and many tests need the same."""
    fill = _fill_vim if name.startswith(("efficientvim", "vssd")) else _fill_vmamba
    return {key: _filled(fill, key, shape) for key, shape in manifest(name)}


def _filled(fill: Any, key: str, shape: tuple[int, ...]) -> torch.Tensor:
    if key.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    rng = np.random.default_rng(zlib.crc32(key.encode()))
    values = np.asarray(fill(key.rsplit(".", 1)[-1], shape, rng)).astype(np.float32)
    return torch.from_numpy(values)


def _fill_vim(leaf: str, shape: tuple[int, ...], rng: np.random.Generator) -> Any:
    n = rng.standard_normal(shape)
    around = {
        "running_mean": (0.0, 0.1 * n),
        "running_var": (1.0, 0.1 * np.abs(n)),
        "bias": (0.0, 0.1 * n),
        "alpha": (0.0, n),
        "weights": (0.0, n),
        "weights_dist": (0.0, n),
        "A": (1.0, np.abs(n)),
        "A_log": (0.0, np.abs(n)),
        "dt_bias": (-4.0, 0.5 * n),
        "D": (1.0, 0.1 * n),
    }
    if leaf != "weight":
        centre, spread = around[leaf]
        return centre + spread
    if len(shape) == 1 or (shape[0] == 1 and sum(s > 1 for s in shape) <= 1):
        return 1.0 + 0.1 * n
    if len(shape) == 4 and shape[1] == 1:
        return 0.1 * n
    return n * np.sqrt(2.0 / float(np.prod(shape[1:])))


def _fill_vmamba(leaf: str, shape: tuple[int, ...], rng: np.random.Generator) -> Any:
    if leaf == "A_logs":
        return rng.random(shape)
    n = rng.standard_normal(shape)
    around = {
        "running_mean": (0.0, 0.1 * n),
        "running_var": (1.0, 0.1 * np.abs(n)),
        "bias": (0.0, 0.1 * n),
        "Ds": (1.0, 0.1 * n),
        "dt_projs_bias": (-4.0, n),
        "x_proj_weight": (0.0, n / np.sqrt(shape[-1] if shape else 1)),
        "dt_projs_weight": (0.0, n / np.sqrt(shape[-1] if shape else 1)),
    }
    if leaf != "weight":
        centre, spread = around[leaf]
        return centre + spread
    return 1.0 + 0.1 * n if len(shape) == 1 else n / np.sqrt(np.prod(shape[1:]))
