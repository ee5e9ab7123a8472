"""Candidates whose speed need not be measured, by a calibration: see `evnas.latency`.

A candidate is screened out where its predicted speed is surely beyond a limit at which a
measurement would have ended early: by it the candidate breaks a constraint, or a member of the
front is as good in all else that is known of it. Of proposals that is asked before they become
candidates, of candidates before they are timed. Members of a front are always measured.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from evnas.arch.spec import ArchSpec
from evnas.errors import MeasurementError, SpecError
from evnas.latency.calibration import Calibration, calibration_in, must_be_calibrated
from evnas.latency.design import networks_of
from evnas.latency.predictor import LatencyPredictor
from evnas.latency.table import LatencyTable, conditions_of
from evnas.measure.counting.flops import count
from evnas.measure.target import Target
from evnas.phases.base import TimedOn
from evnas.record import Record
from evnas.search.limits import limits_for
from evnas.search.propose import Proposal
from evnas.search.state.history import SCREENED, History
from evnas.search.state.trial import Trial
from evnas.space.space import SearchSpace
from evnas.stats.interval import Interval
from evnas.store import Store
from evnas.sweep.constraints import phase_of
from evnas.tables import chooses

NOTED = "calibrations"
"""Under this a study keeps what its predictions are made from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenedOut:
    """Why a candidate need not be measured."""

    status: Literal["infeasible", "pruned"]
    """By a constraint, or by the front."""
    reason: str
    details: Mapping[str, Any]
    """Of the record: the prediction, and which calibration made it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FittedCalibration:
    """A calibration of one target, fitted."""

    calibration: str
    """Its id."""
    predictor: LatencyPredictor
    batch_size: int
    base_ms: float
    """Of the base, which ratios refer to."""

    @classmethod
    def of(cls, calibration: Calibration, base: ArchSpec) -> "FittedCalibration":
        """Raises MeasurementError where it is too little."""
        predictor = must_be_calibrated(calibration, "evnas calibrate measures it")
        known = [n.latency_ms for n in predictor.networks if n.arch.digest == base.digest]
        base_ms = known[0] if known else predictor.predict(base).mid_ms
        return cls(
            calibration=calibration.id,
            predictor=predictor,
            batch_size=calibration.batch_size,
            base_ms=base_ms,
        )

    def ends(self, arch: ArchSpec, quantity: str) -> tuple[float, float, float] | None:
        """Surely lowest, most likely and surely highest value of a speed; None where it cannot be
        known: of another quantity, of kinds of parts that were not measured, and far from them."""
        try:
            found = self.predictor.predict(arch)
        except MeasurementError:  # no part like one of its own was measured
            return None
        low, high = found.surely
        if found.outside:
            return None
        if quantity == "latency_ms":
            return low, found.mid_ms, high
        over = {"throughput_img_s": 1e3 * self.batch_size, "throughput_ratio": self.base_ms}
        if quantity not in over:
            return None
        return over[quantity] / high, over[quantity] / found.mid_ms, over[quantity] / low


@dataclass(frozen=True, slots=True)
class Screen:
    """What is known of a search's targets by calibration: a strategy's `Sieve`."""

    by_target: Mapping[str, FittedCalibration]
    draws: int
    """Proposals that are looked at for each candidate, at most."""
    counted_at: int = 224
    """Side of the image that candidates are counted for, in pixels."""

    @property
    def ids(self) -> str:
        """Of its calibrations, in words."""
        names = [each.calibration for each in self.by_target.values()]
        return f"calibration {names[0]}" if len(names) == 1 else f"calibrations {', '.join(names)}"

    def of_candidate(self, history: History, label: str, target: str) -> ScreenedOut | None:
        """Why a candidate need not be timed on a target; None where it is to be."""
        trial = history.trials.get(label)
        return None if trial is None else self.verdict(history, trial, target)

    def drops(self, history: History, proposal: Proposal) -> bool:
        """Whether one whose architecture is all that is known of it need not be timed."""
        if proposal.arch is None or proposal.label:
            return False
        trial = self._counted(history, proposal.arch, proposal.origin)
        return any(self.verdict(history, trial, target) for target in self.by_target)

    def noted(self, proposal: Proposal) -> Proposal:
        """The proposal, saying that others were dropped before it."""
        return replace(proposal, origin=f"{proposal.origin}, others dropped by {self.ids}")

    def _counted(self, history: History, arch: ArchSpec, origin: str) -> Trial:
        """A trial that knows its counts, where these and speeds are all that is wanted."""
        plain = arch.to_dict()
        trial = Trial(label="", digest=arch.digest, kept_arch=plain, origin=origin)
        others = [o.metric for o in history.objectives if "@" not in o.metric]
        if others and all(phase_of(metric) == "count" for metric in others):
            cost = count(arch, self.counted_at)
            values = {"params": float(cost.params), "macs_exact": float(cost.macs["exact"])}
            trial.take(
                Record(
                    label="",
                    digest=arch.digest,
                    arch=plain,
                    phase="count",
                    status="complete",
                    values=values,
                )
            )
        return trial

    def verdict(self, history: History, trial: Trial, target: str) -> ScreenedOut | None:
        """Whether a trial's predicted speed lies beyond a limit."""
        by = self.by_target.get(target)
        limits = () if by is None else limits_for(history, trial, target)
        if by is None or not limits:
            return None
        arch = ArchSpec.from_dict(trial.arch)
        for limit in limits:
            ends = by.ends(arch, limit["quantity"])
            if ends is None:
                continue
            low, mid, high = ends
            beyond = low > limit["value"] if limit["beyond"] == "above" else high < limit["value"]
            if beyond:
                return _verdict(limit, ends=(low, mid, high), by=by)
        return None


def calibrations_of(
    targets: Sequence[TimedOn], space: SearchSpace, base: ArchSpec, *, folder: Path | None = None
) -> list[Calibration]:
    """What this machine's tables hold of a search's targets.

    Args:
        targets: of the search.
        folder: of tables; that of the user's cache unless given.

    Raises:
        SpecError: at `screening`, where one that can be calibrated was not.
    """
    networks, found = networks_of(space, base), []
    for target in _predictable(targets):
        calibration = calibration_in(
            LatencyTable.of_target(target, folder=folder), networks, target
        )
        try:
            must_be_calibrated(
                calibration, f"evnas calibrate FILE --target {target.runtime} measures it"
            )
        except MeasurementError as e:
            raise SpecError(str(e), "screening") from None
        found.append(calibration)
    return found


def noted_calibrations(path: Path) -> list[Calibration] | None:
    """Those that a study began with; None of one that is not there or has none."""
    if not path.exists():
        return None
    with Store.read(path) as store:
        noted = store.meta(NOTED)
    return None if noted is None else [Calibration.from_dict(data) for data in noted]


def note_calibrations(store: Store, calibrations: Sequence[Calibration]) -> list[str]:
    """Keep them in a study that has none; and what is to be said of them."""
    if store.meta(NOTED) is None:
        store.note(NOTED, [calibration.to_dict() for calibration in calibrations])
    said = []
    for calibration in calibrations:
        fields = {"runtime", "precision", "form", "device"}
        same = {key: calibration.of[key] for key in fields}
        here = conditions_of(Target(batch_size=1, **same))
        said.append(
            f"candidates on {calibration.target} are screened by calibration {calibration.id}"
        )
        others = [key for key, value in here.items() if calibration.of.get(key) != value]
        if others:
            said.append(
                f"calibration {calibration.id} was made with another {' and '.join(others)} than "
                "is here now: its predictions need not hold"
            )
    return said


def screen_of(
    calibrations: Sequence[Calibration], base: ArchSpec, *, draws: int, counted_at: int
) -> Screen:
    """What screens a search.

    Args:
        calibrations: one a target.
        base: of the search's space.
        draws: proposals that are looked at for each candidate, at most.
        counted_at: side of the image that candidates are counted for, in pixels.
    """
    by_target = {c.target: FittedCalibration.of(c, base) for c in calibrations}
    return Screen(by_target, draws, counted_at)


def _predictable(targets: Sequence[TimedOn]) -> list[Target]:
    """Targets that a calibration can be of; there is one at least, by `must_begin`."""
    settled = [Target(**on.fields) for on in targets if on.command is None]
    return [t for t in settled if not chooses(t.runtime) and t.mode == "inference"]


def _verdict(
    limit: Mapping[str, Any], *, ends: tuple[float, float, float], by: FittedCalibration
) -> ScreenedOut:
    low, mid, high = ends
    quantity, why = limit["quantity"], str(limit["why"])
    breaks = why.startswith("breaks ")
    said = f"{quantity} predicted {Interval(low, mid, high).spelt()}"
    return ScreenedOut(
        status="infeasible" if breaks else "pruned",
        reason=f"{why.removeprefix('breaks ')}: {said} by calibration {by.calibration}",
        details={
            SCREENED: {
                "calibration": by.calibration,
                "quantity": quantity,
                "low": low,
                "mid": mid,
                "high": high,
                "limit": limit["value"],
                "why": why,
            }
        },
    )
