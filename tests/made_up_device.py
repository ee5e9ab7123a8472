"""A device that only exists on paper: latencies by formula, measured on an injected clock."""

import math
import random
from dataclasses import dataclass, field
from typing import Any

from evnas.arch.spec import ArchSpec
from evnas.latency.measuring import what_network, what_part
from evnas.latency.parts import Part, parts_of
from evnas.latency.table import Timed

HEAD_MS = {"hidden": 0.5, "features": 0.4, "none": 0.2}


@dataclass
class MadeUpDevice:
    """Parts take what work and bytes they have; a network less than their sum, and a head."""

    resolution: int = 224
    batch_size: int = 8
    noise: float = 0.0
    """Relative standard deviation of a measurement."""
    takes_s: float = 1.0
    """Of its clock, for each measurement."""
    refuses: str = ""
    """A word in the names of parts that cannot run."""
    slower: float = 1.0
    """By how much everything, anchor and all, is slower at the moment."""
    now_s: float = 0.0
    asked: list[Part | ArchSpec] = field(default_factory=list)

    def clock(self) -> float:
        return self.now_s

    def part(self, part: Part) -> Timed:
        self.asked.append(part)
        if self.refuses and self.refuses in part.group:
            self.now_s += self.takes_s
            return Timed(
                what=what_part(part), batch_size=self.batch_size, refused="no such operator"
            )
        return self._timed(what_part(part), part_ms(part), part.key)

    def network(self, arch: ArchSpec) -> Timed:
        self.asked.append(arch)
        what = what_network(arch, self.resolution)
        ms = network_ms(arch, self.resolution)
        return self._timed(what, ms, arch.digest, macs=1e7 * ms)

    def _timed(self, what: dict[str, object], ms: float, name: str, **more: Any) -> Timed:
        self.now_s += self.takes_s
        noise = 1 + self.noise * random.Random(name).gauss(0, 1)
        return Timed(
            what=what,
            batch_size=self.batch_size,
            latency_ms=ms * noise * self.slower,
            anchor_ms=10.0 * self.slower,
            samples=9,
            at=self.now_s,
            seconds=self.takes_s,
            **more,
        )


def part_ms(part: Part) -> float:
    """By itself."""
    numbers = dict(part.numbers)
    channels, side = numbers["dim"], numbers["side"]
    work = channels * channels * side * side * (3 + numbers.get("mlp_ratio", 0.0)) / 4e7
    states = numbers.get("states", 16.0) * channels * side * side / 2e7
    if part.kind == "stem":
        return channels / 20
    return 0.05 + work * (1.3 if "nc_ssd" in part.group else 1.0) + states


def network_ms(arch: ArchSpec, resolution: int) -> float:
    """As a whole."""
    blocks = sum(n * part_ms(part) for part, n in parts_of(arch, resolution).items())
    return 0.9 * blocks + HEAD_MS[arch.head.fusion] + math.log(2 + len(arch.stages)) / 10
