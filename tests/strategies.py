"""Random small architectures, for property tests."""

import copy
import random
from typing import Any

from hypothesis import strategies as st

from evnas import mixers as table
from evnas.arch.spec import BLOCKS, STEM_STRIDES, ArchSpec

MIXERS = table.MIXERS.names()
HIDDEN_STATE_MIXERS = table.MIXERS.with_hidden_states()

DOWNSAMPLES = ("efficientvim", "vssd", "vssd_simple", "vmamba_v1", "vmamba_v2", "vmamba_v3")


def mixers(dim: int, kinds: tuple[str, ...] = MIXERS) -> st.SearchStrategy[dict[str, Any]]:
    """A valid mixer for C = `dim`, a multiple of 8."""
    heads = st.sampled_from([h for h in (1, 2, 4, 8) if dim % h == 0])
    states = st.integers(1, 9)
    scan = {
        "d_state": st.integers(1, 3),
        "ssm_ratio": st.sampled_from([0.5, 1.0, 1.5]),
        "dt_rank": st.sampled_from(["auto", 1, 3]),
        "conv": st.booleans(),
        "conv_bias": st.booleans(),
        "gate": st.booleans(),
        "act": st.sampled_from(["silu", "gelu", "relu"]),
        "init": st.sampled_from(["mamba", "rand", "zero"]),
    }
    fields: dict[str, dict[str, st.SearchStrategy[Any]]] = {
        "hsm_ssd": {
            "states": states,
            "heads": heads,
            "score": st.sampled_from(["per_state", "shared"]),
            "expand": st.sampled_from([0.5, 1.0, 2.0]),
        },
        "nc_ssd": {"states": states, "heads": heads, "expand": st.sampled_from([1.0, 2.0])},
        "sa": {"heads": heads},
        "ss2d": scan | {"scan": st.sampled_from(["unidi", "bidi", "cascade", "cross"])},
        "es2d": scan | {"step": st.integers(1, 3)},
    }
    return st.one_of(
        *(st.fixed_dictionaries({"kind": st.just(kind)} | fields.get(kind, {})) for kind in kinds)
    )


@st.composite
def stages(draw: st.DrawFn, kinds: tuple[str, ...] = MIXERS) -> dict[str, Any]:
    """A valid stage."""
    dim = draw(st.sampled_from([8, 16, 24]))
    blocks = [b for b in BLOCKS if kinds == MIXERS or BLOCKS.get(b).mixer]
    block = draw(st.sampled_from(blocks))
    return {
        "depth": draw(st.integers(1, 2)),
        "dim": dim,
        "block": block,
        "mixer": draw(mixers(dim, kinds)) if BLOCKS.get(block).mixer else None,
        "mlp_ratio": draw(st.sampled_from([1.0, 1.3, 2.0])),
    }


@st.composite
def archs(draw: st.DrawFn, max_stages: int = 3) -> ArchSpec:
    """A valid architecture of at most `max_stages` small stages."""
    stem = draw(st.sampled_from(sorted(STEM_STRIDES)))
    fusion = draw(st.sampled_from(["hidden", "features", "none"]))
    kinds = HIDDEN_STATE_MIXERS if fusion == "hidden" else MIXERS
    return ArchSpec.from_dict(
        {
            "stem": {"kind": stem, "stride": draw(st.sampled_from(STEM_STRIDES[stem]))},
            "stages": draw(st.lists(stages(kinds), min_size=1, max_size=max_stages)),
            "downsample": draw(st.sampled_from(DOWNSAMPLES)),
            "norm": draw(st.sampled_from(["partial_ln", "full_bn", "ln"])),
            "head": {"fusion": fusion, "distillation": draw(st.booleans())},
            "num_classes": draw(st.integers(1, 5)),
        }
    )


JUNK: tuple[Any, ...] = (
    *(None, "", "hsm_ssd", "vss", "hidden", "auto", "7", True, False, 0, 1, -1, 3, 7, 8, 12, 255),
    *(0.5, -0.5, 1.7, 1e300, float("nan"), float("inf"), 10**30, [], [8, 16], {}),
    *({"kind": "sa"}, {"kind": "hsm_ssd", "heads": 3}, b"raw", ("a",), object()),
)


def mutated(raw: dict[str, Any], rng: random.Random) -> Any:
    """The plain form of an architecture with one to three faults, or none that matter."""
    for _ in range(rng.randint(1, 3)):
        here, key = rng.choice(list(_places(raw)))
        fault = rng.random()
        if fault < 0.15:
            del here[key]
        elif fault < 0.25 and isinstance(here, dict):
            name = rng.choice(["depths", "Dim", "kind", "mixer", "norm", "stem", ""])
            here[name] = copy.deepcopy(here[key])
        elif fault < 0.3 and isinstance(here, list):
            here.append(copy.deepcopy(here[key]))
        elif fault < 0.65:
            here[key] = _near(here[key], rng)
        else:
            here[key] = copy.deepcopy(rng.choice(JUNK))
        if not raw:
            break
    return raw


def _near(value: Any, rng: random.Random) -> Any:
    """Another value of the same type, which may well be valid."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return rng.choice([value - 1, value + 1, value * 2, value + 8, 1])
    if isinstance(value, float):
        return rng.choice([value / 2, value * 2, value + 0.1])
    if isinstance(value, str):
        return rng.choice([*MIXERS, *BLOCKS, *DOWNSAMPLES, "ln", "shared", "cascade", "none"])
    return copy.deepcopy(value)


def _places(data: Any) -> Any:
    keys = data if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ()
    for key in keys:
        yield data, key
        yield from _places(data[key])
