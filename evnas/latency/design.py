"""What is measured of a space: some of its parts, spread out, and networks drawn at random.

A space has thousands of distinct blocks, more than a calibration has time for, and their times are
smooth in widths, states and ratios. So of each group those are taken that lie farthest apart.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from evnas.arch.spec import ArchSpec
from evnas.latency.parts import Part, parts_of
from evnas.space.space import SearchSpace

DRAWS = 400
"""Architectures that show which parts a space has."""
BLOCKS = 120
"""Blocks that are measured, shared out among the groups."""
LEAST, MOST = 12, 40
"""Blocks of one group."""
STEMS, DOWNSAMPLES = 10, 16
"""Of each kind."""
NETWORKS = 72
"""Whole networks."""
PARTS_A_NETWORK = 2
"""So many parts are measured before the next network, so that what is broken off has both."""


@dataclass(frozen=True, slots=True)
class Design:
    """What a calibration measures."""

    networks: tuple[ArchSpec, ...]
    """The base first."""
    parts: tuple[Part, ...]

    def in_turn(self) -> Iterator[Part | ArchSpec]:
        """The order of measuring: parts and networks of all kinds early."""
        parts, networks = iter(self.parts), iter(self.networks)
        yield from self.networks[:1]
        next(networks, None)
        for i, part in enumerate(parts):
            yield part
            if i % PARTS_A_NETWORK == PARTS_A_NETWORK - 1:
                network = next(networks, None)
                if network is not None:
                    yield network
        yield from networks


def design_of(space: SearchSpace, base: ArchSpec, resolution: int) -> Design:
    """What is measured of a space, the same every time."""
    return Design(networks_of(space, base), tuple(_parts(space, resolution)))


def networks_of(
    space: SearchSpace, base: ArchSpec, *, count: int = NETWORKS, seed: int = 0
) -> tuple[ArchSpec, ...]:
    """The base, then architectures that the space draws, each once."""
    found = {base.digest: base}
    for arch in _drawn(space, seed, draws=8 * count):
        if len(found) > count:
            break
        found.setdefault(arch.digest, arch)
    return tuple(found.values())


def _parts(space: SearchSpace, resolution: int) -> list[Part]:
    groups: dict[str, dict[Part, None]] = {}
    for arch in _drawn(space, 1, draws=DRAWS):
        for part in parts_of(arch, resolution):
            groups.setdefault(part.group, {})[part] = None
    blocks = sum(name.startswith("block") for name in groups)
    of_a_group = min(MOST, max(LEAST, BLOCKS // max(1, blocks)))
    most = {"block": of_a_group, "stem": STEMS, "downsample": DOWNSAMPLES}
    chosen = [spread_out(list(parts), most[next(iter(parts)).kind]) for parts in groups.values()]
    return _round_robin(chosen)


def spread_out(parts: Sequence[Part], count: int) -> list[Part]:
    """Up to `count` parts of one group, each the farthest from those before it."""
    at = np.asarray([part.inputs for part in parts])
    at = (at - at.mean(0)) / np.maximum(at.std(0), 1e-9)
    chosen = [int(np.argmax((at**2).sum(1)))]
    gaps = ((at - at[chosen[0]]) ** 2).sum(1)
    while len(chosen) < min(count, len(parts)):
        farthest = int(np.argmax(gaps))
        chosen.append(farthest)
        gaps = np.minimum(gaps, ((at - at[farthest]) ** 2).sum(1))
    return [parts[i] for i in chosen]


def _drawn(space: SearchSpace, seed: int, *, draws: int) -> Iterator[ArchSpec]:
    rng = random.Random(f"evnas calibrate {seed}")
    for _ in range(draws):
        yield space.sample(rng)[1]


def _round_robin(groups: Sequence[Sequence[Part]]) -> list[Part]:
    longest = max((len(group) for group in groups), default=0)
    return [group[i] for i in range(longest) for group in groups if i < len(group)]
