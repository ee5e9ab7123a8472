"""Records of an ablation, found again by row, target and phase."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from evnas.record import Measurement, Record
from evnas.stats.power import SeedNoise
from evnas.sweep.candidate import Candidate
from evnas.sweep.sweep import Sweep
from evnas.sweep.trainings import noise_of
from evnas.tables import PHASES


@dataclass(slots=True)
class RowRecords:
    """Records of a study, found again by row."""

    sweep: Sweep
    records: Sequence[Record]
    by_label: dict[str, list[Record]] = field(init=False)
    longest: float = field(init=False)
    """Image presentations of the longest training of any row; others would not compare."""
    noise: SeedNoise | None = field(init=False)
    """Between seeds of a training, where it is known."""

    def __post_init__(self) -> None:
        self.by_label = {}
        self.longest = max((r.budget for r in self.records if r.phase == "proxy"), default=0.0)
        for record in self.records:
            self.by_label.setdefault(record.label, []).append(record)
        self.noise = self._noise()

    def _noise(self) -> SeedNoise | None:
        proxy = self.sweep.spec.proxy
        if proxy is None:
            return None
        rows = {c.digest: self.of(c, "proxy") for c in self.sweep.candidates}
        shown = max(
            (r.values.get("train_images", 0.0) for row in rows.values() for r in row), default=0.0
        )
        return noise_of(rows.values(), proxy, shown=int(shown) or proxy.presentations)

    def of(self, candidate: Candidate, phase: str) -> list[Record]:
        """Its records, or those of the equal row that was evaluated in its place."""
        for other in self.sweep.candidates:
            same = PHASES.get(phase).by_digest and other.digest == candidate.digest
            if candidate.digest and (same or other.same_work(candidate)):
                found = [r for r in self.by_label.get(other.label, []) if self._is(r, phase)]
                if found:
                    return found
        return []

    def _is(self, record: Record, phase: str) -> bool:
        """Whether a record is of a phase; of trainings the longest alone, since a study whose
        epochs grew holds shorter ones too."""
        return record.phase == phase and (phase != "proxy" or record.budget == self.longest)

    def speed(self, candidate: Candidate, target: int) -> Record | None:
        """Its record on one of the sweep's targets."""
        found = self.of(candidate, "speed")
        return next((r for r in found if r.details.get("target_index") == target), None)

    def device(self, target: int) -> str:
        """`cpu`, `cuda:0`, ..., that a target means; "" while `auto` has measured nothing."""
        named = self.sweep.spec.targets[target].device
        if named != "auto":
            return named
        ran = (r.on for r in self.records if r.details.get("target_index") == target)
        return next((on.device for on in ran if on is not None), "")

    def reference_beside(self, candidate: Candidate, target: int) -> Candidate | None:
        """The row of the reference's architecture at a row's own resolution and batch.

        A row is timed in alternation with the reference at the row's resolution, so that is
        the printed row its ratio is to be compared with. None when the table has none.
        """
        reference = self.sweep.reference
        rows = [reference, *self.sweep.candidates]
        found = [r for r in rows if r.digest == reference.digest]
        wanted = self._size(candidate, target)
        return next((r for r in found if self._size(r, target) == wanted), None)

    def _size(self, candidate: Candidate, target: int) -> tuple[int, object]:
        """Resolution and batch of a row on a target."""
        spec = self.sweep.spec.targets[target]
        kind = self.device(target).split(":")[0]
        return candidate.resolution or spec.resolution, candidate.batch_on(kind, spec)

    def throughput(self, candidate: Candidate, record: Record) -> Measurement:
        """Images a second. The reference's are those it had beside every other row.

        Its own record is timed alone and first, with the machine's warm-up in it.
        """
        own = record.measurements["throughput_img_s"]
        batch = own.conditions["batch_size"]
        if not candidate.same_work(self.sweep.reference):
            return own
        beside = [
            1e3 * batch / ms
            for r in self.records
            if r.on is not None and r.status == "complete" and r.target == record.target
            if "base_latency_ms" in r.measurements and batch_timed(r) == batch
            for ms in r.measurements["base_latency_ms"].samples
        ]
        return Measurement(own.name, tuple(beside), own.conditions) if beside else own


def batch_timed(record: Record) -> int:
    """Images at once of a complete speed: fewer than its target's where the batch was halved."""
    return int(record.measurements["throughput_img_s"].conditions["batch_size"])


def ending_status(records: Sequence[Record], candidate: Candidate) -> str:
    """How a phase ended that gave no value."""
    if candidate.absent:
        return "absent"
    statuses = [r.status for r in records if r.status != "complete"]
    return statuses[0] if statuses else ("" if records else "not run")
