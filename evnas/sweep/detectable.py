"""Differences of top-1 that an ablation's trainings can detect, and what printed ones take."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from evnas.papers.published import published_table
from evnas.record import Record
from evnas.stats.power import SeedNoise, is_shipped_for, presentations_for
from evnas.sweep.sweep import Sweep
from evnas.sweep.trainings import noise_of
from evnas.words import counted


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectableDifferences:
    """Power of a sweep's trainings."""

    noise: SeedNoise
    seeds: int
    presentations: int
    """Images that each training shows."""
    is_of_shipped_images: bool
    """Whether the shipped noise of other budgets is of images like these."""
    printed: Mapping[str, float]
    """Row -> its printed top-1 less the reference's, in points."""

    @property
    def smallest_percent(self) -> float:
        """The least difference that shows, in points."""
        return self.noise.smallest_difference(self.seeds)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "seed_noise_percent": self.noise.sd_percent,
            "noise_of": self.noise.source,
            "smallest_difference_percent": self.smallest_percent,
            "rows": {
                label: {
                    "printed_difference": difference,
                    "tells": abs(difference) >= self.smallest_percent,
                    "seeds_needed": self.noise.seeds_for(difference) if difference else None,
                    "presentations_needed": self._longer(difference),
                }
                for label, difference in self.printed.items()
            },
        }

    def _longer(self, difference: float) -> float | None:
        """A budget that tells it; where the study's own noise is known, one beyond the study's."""
        if not self.is_of_shipped_images:
            return None
        shows = abs(difference) >= self.smallest_percent
        beyond = 0.0 if shows else float(self.presentations)
        return presentations_for(difference, self.seeds, beyond=beyond)

    def text(self) -> str:
        """A sentence, and a line per printed difference."""
        times = counted(self.seeds, "seed")
        head = (
            f"top-1: {times} of {self.presentations} presentations can detect differences from "
            f"{self.smallest_percent:.1f} points "
            f"(noise between seeds {self.noise.sd_percent:.2f}, {self.noise.source})"
        )
        return "\n".join([head, *map(self._line, self.printed.items())])

    def _line(self, row: tuple[str, float]) -> str:
        label, difference = row
        if abs(difference) >= self.smallest_percent:
            return f"  {label}: {difference:+.1f} in print, can be detected"
        if not difference:
            return f"  {label}: no difference in print; none under the least can be ruled out"
        more = self._longer(difference)
        longer = f", or {more:.0f} presentations" if more is not None else ""
        needed = f"needs {counted(self.noise.seeds_for(difference), 'seed')}{longer}"
        return f"  {label}: {difference:+.1f} in print, cannot be detected; {needed}"


def detectable_differences(
    sweep: Sweep, records: Iterable[Record] = (), *, training_images: int = 0
) -> DetectableDifferences | None:
    """The power of an ablation that trains; None where nothing is trained or no noise is known.

    Args:
        records: of the study so far; seeds in it say more than what is shipped.
        training_images: how many there are, since an epoch shows at most all of them; 0 where
            that is not known.
    """
    proxy = sweep.spec.proxy
    if proxy is None or not sweep.candidates:
        return None
    rows: dict[str, list[Record]] = {}
    shown_so_far = 0
    for record in records:
        if record.phase == "proxy" and record.budget == proxy.presentations:
            rows.setdefault(record.digest, []).append(record)
            shown_so_far = max(shown_so_far, int(record.values.get("train_images", 0)))
    shown = shown_so_far or proxy.shown(training_images or proxy.images_per_epoch)
    noise = noise_of(rows.values(), proxy, shown=shown)
    if noise is None:
        return None
    return DetectableDifferences(
        noise=noise,
        seeds=len(sweep.spec.seeds),
        presentations=shown,
        is_of_shipped_images=is_shipped_for(proxy.data),
        printed=_printed_differences(sweep),
    )


def about_power(sweep: Sweep, power: DetectableDifferences | None) -> str:
    """What the trainings can detect, or that it is not known; "" where rows are not trained."""
    proxy = sweep.spec.proxy
    if proxy is None or not sweep.candidates:
        return ""
    if power is not None:
        return power.text()
    data = proxy.data if isinstance(proxy.data, str) else proxy.data.folder
    return (
        f"top-1: which differences can be detected cannot be told, as no noise between seeds is "
        f"known for {data}; three rows with three seeds each show it"
    )


def _printed_differences(sweep: Sweep) -> dict[str, float]:
    published = sweep.spec.published
    if published is None:
        return {}
    printed = published_table(published.paper, published.table)
    top1 = {
        c.label: printed[c.published].number("top1")
        for c in sweep.candidates
        if c.published in printed
    }
    base = top1.get(sweep.reference.label)
    return {
        label: round(value - base, 4)
        for label, value in top1.items()
        if base is not None and value is not None and label != sweep.reference.label
    }
