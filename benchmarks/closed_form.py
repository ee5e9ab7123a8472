"""Closed-form stand-ins for measuring and training, for benchmarks and tests of strategies.

Speed is a roofline: each block takes the longer of its arithmetic and its traffic, and a fixed
overhead a kernel. Accuracy saturates in the arithmetic, and knows which mixer suits which stage,
how many states a map of a size rewards, that dims should grow by about 1.6, that fusion pays only
with enough states, and that two kinds of mixer side by side help a little. A training adds
noise by seed; a short one is worse, the more so for a large network, and noisier. None of this
claims to be true of real networks: it has branches, interactions, plateaus and noise.
"""

import itertools
import math
import random
from collections.abc import Callable, Mapping
from typing import Any

PEAK_GFLOPS, GB_S, KERNEL_MS = 50.0, 10.0, 0.02
NOISE_PERCENT = 0.3
AFFINITY: Mapping[str, tuple[float, float, float]] = {
    "hsm_ssd": (1.2, 0.9, 0.1),
    "nc_ssd": (0.6, 1.1, 0.5),
    "ss2d": (1.6, 1.0, -0.4),
    "sa": (-1.5, 0.4, 1.5),
}
"""Percentage points by mixer and stage."""


def cost(arch: Mapping[str, Any]) -> tuple[float, float]:
    """(latency_ms, GFLOP) of one image at 224 x 224."""
    time_ms = total = 0.0
    for i, stage in enumerate(arch["stages"]):
        tokens = (224 / arch["stem"]["stride"] / 2**i) ** 2
        dim, depth, mixer = stage["dim"], stage["depth"], stage["mixer"]
        flops = tokens * dim * dim * 2 * (2 * stage["mlp_ratio"] + 3)
        traffic, kernels = tokens * dim * 4 * 12, 10
        if mixer["kind"] == "sa":
            flops += 4 * tokens * tokens * dim
            traffic += 4 * tokens * tokens * mixer["heads"]
        elif mixer["kind"] == "ss2d":
            routes = 1 if mixer["scan"] == "unidi" else 4
            traffic *= 1 + 0.5 * routes * (1 + mixer["d_state"] / 4)
            kernels += 4 * routes
        else:
            flops += 4 * tokens * dim * mixer["states"]
            if mixer["kind"] == "hsm_ssd":
                flops -= tokens * dim * dim * 2 * (2 - mixer["expand"])
        traffic += dim * dim * (2 * stage["mlp_ratio"] + 3) * 4
        roof = max(flops / PEAK_GFLOPS, traffic / GB_S) * 1e-6
        time_ms += depth * (roof + kernels * KERNEL_MS)
        total += depth * flops * 1e-9
    return time_ms + (0.1 if arch["head"]["fusion"] == "hidden" else 0.0), total


def accuracy(arch: Mapping[str, Any]) -> float:
    """top1_percent of a whole training, without noise."""
    stages, (_, gflop) = arch["stages"], cost(arch)
    score: float = 82.0 - 9.0 * math.exp(-0.8 * math.log2(1 + gflop * 4))
    kinds = [stage["mixer"]["kind"] for stage in stages]
    states = []
    for i, stage in enumerate(stages):
        mixer = stage["mixer"]
        score += AFFINITY[mixer["kind"]][min(i, 2)] * (1 - math.exp(-stage["depth"]))
        score -= 0.25 * (stage["mlp_ratio"] - 3.5) ** 2
        if "states" in mixer:
            best = (49, 25, 9)[min(i, 2)]
            states.append(mixer["states"] / best)
            score -= 0.4 * math.log2(mixer["states"] / best) ** 2
        if mixer["kind"] == "ss2d":
            score += 0.5 * (mixer["scan"] == "cross") + 0.2 * math.log2(mixer["d_state"])
    for here, after in itertools.pairwise(stages):
        score -= 2.5 * (math.log2(after["dim"] / here["dim"]) - 0.68) ** 2
    score += 0.3 * sum(a != b for a, b in itertools.pairwise(kinds))
    if arch["head"]["fusion"] == "hidden":
        score += 0.8 if min(states, default=0.0) >= 0.6 else -0.5
    return score - (0.6 if arch["norm"] == "full_bn" and "sa" in kinds else 0.0)


def deceptive(arch: Mapping[str, Any]) -> float:
    """top1_percent where branches mislead: a selective scan costs, but where all of its knobs are
    right in a deep stage; attention pays at once, and costs in a deep stage."""
    score: float = accuracy(arch)
    for stage in arch["stages"]:
        mixer = stage["mixer"]
        if mixer["kind"] == "ss2d":
            right = (mixer["scan"] == "cross") + (mixer["d_state"] == 8) + (stage["depth"] >= 4)
            score += (-2.0, -2.0, -1.0, 3.0)[right]
        elif mixer["kind"] == "sa":
            score += 1.5 if stage["depth"] <= 2 else -1.5
    return score


def coupled(arch: Mapping[str, Any]) -> float:
    """top1_percent in steps of 1.5, where what is right in a stage hangs on the one before: its
    mixer, its depth and how much its MLP widens."""
    score: float = accuracy(arch)
    for here, after in itertools.pairwise(arch["stages"]):
        score += 2.0 if here["mixer"]["kind"] != after["mixer"]["kind"] else -2.0
        score -= 0.5 * abs(here["depth"] + after["depth"] - 7)
        score -= 0.7 * abs(here["mlp_ratio"] + after["mlp_ratio"] - 6)
    return 1.5 * math.floor(score / 1.5)


LANDSCAPES: Mapping[str, Callable[[Mapping[str, Any]], float]] = {
    "usual": accuracy,
    "deceptive": deceptive,
    "coupled": coupled,
}


def trained(
    arch: Mapping[str, Any], digest: str, *, seed: int, share: float, landscape: str = "usual"
) -> float:
    """top1_percent as a training of a share of the whole budget shows it."""
    noise = random.Random(f"{digest} {seed} {share}").gauss(0.0, NOISE_PERCENT * share**-0.25)
    slowness = 2.0 + 2.0 * math.log2(1 + 4 * cost(arch)[1])
    loss: float = slowness * (share**-0.5 - 1)
    return LANDSCAPES[landscape](arch) - loss + noise
