"""Warm starts: candidates to begin with, each with where it came from."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from evnas.errors import SpecError
from evnas.search.history import History
from evnas.search.propose import Proposal, Strategy
from evnas.space.arch import ArchSpec
from evnas.space.catalog import catalog
from evnas.space.paths import edit
from evnas.space.search_spec import WarmStart
from evnas.space.space import SearchSpace
from evnas.store import Store


@dataclass(frozen=True, slots=True)
class After:
    """`first` candidates, in order, then what `strategy` proposes."""

    first: Sequence[tuple[str, ArchSpec]]
    strategy: Strategy
    budget: float | None = None

    def propose(self, history: History, n: int) -> list[Proposal]:
        """Those of `first` that are new, before anything else."""
        found: dict[str, Proposal] = {}
        for origin, arch in self.first:
            if len(found) < n and arch.digest not in history.digests:
                new = Proposal(arch=arch, origin=origin, budget=self.budget)
                found.setdefault(arch.digest, new)
        if found:
            return list(found.values())
        return self.strategy.propose(history, n)


def warm_candidates(starts: Sequence[WarmStart], space: SearchSpace) -> list[tuple[str, ArchSpec]]:
    """(origin, architecture) of every warm start, those outside the space left out.

    Raises:
        SpecError: at `warm_start[i]`, for a file that cannot be read, or one with nothing inside.
    """
    found = []
    for i, start in enumerate(starts):
        try:
            several = _candidates(start, space.base)
        except (SpecError, OSError) as e:
            raise SpecError(str(e), f"warm_start[{i}]") from None
        inside = [(o, a) for o, a in several if isinstance(space.encode(a), dict)]
        if not inside:
            reason = f"none of its {len(several)} architectures lies in the space"
            raise SpecError(reason, f"warm_start[{i}]")
        found += inside[: start.most]
    return found


def seeds(space: SearchSpace) -> list[tuple[str, ArchSpec]]:
    """The catalogue's members in the space: an evolution starts from what people know."""
    inside = [e for e in catalog().values() if isinstance(space.encode(e.arch), dict)]
    return [(f"published {' '.join(e.published or (e.name,))}", e.arch) for e in inside]


def _candidates(start: WarmStart, base: ArchSpec) -> list[tuple[str, ArchSpec]]:
    if start.published:
        entries = catalog().values()
        return [(f"published {' '.join(e.published or (e.name,))}", e.arch) for e in entries]
    return _of_study(Path(start.study)) if start.study else _of_csv(Path(start.csv), base)


def _of_study(path: Path) -> list[tuple[str, ArchSpec]]:
    """The trials that were trained, the longest first, then the most accurate."""
    scores: dict[str, tuple[float, float, str, ArchSpec]] = {}
    with Store.read(path) as store:
        for _, record in store.records():
            if (
                record.phase == "proxy"
                and record.status == "complete"
                and "timm" not in record.arch
            ):
                score = (record.budget, record.values.get("top1_percent", 0.0))
                origin = f"study {path.parent.name} trial {record.label}"
                best = scores.get(record.digest)
                if best is None or score > best[:2]:
                    arch = ArchSpec.from_dict(record.arch)
                    scores[record.digest] = (*score, origin, arch)
    ordered = sorted(scores.values(), key=lambda s: (-s[0], -s[1]))
    return [(origin, arch) for _, _, origin, arch in ordered]


def _of_csv(path: Path, base: ArchSpec) -> list[tuple[str, ArchSpec]]:
    found = []
    with path.open(newline="", encoding="utf-8") as file:
        for line, row in enumerate(csv.DictReader(file), start=2):
            changes = {key: yaml.safe_load(text) for key, text in row.items() if text}
            try:
                found.append((f"{path.name}:{line}", edit(base, changes)))
            except SpecError as e:
                raise SpecError(f"{path}:{line}: {e}") from None
    return found
