"""Latency of an architecture from its parts, with an interval: a sum corrected by whole networks.

    parts:    log t(part) is a Gaussian process over the numbers of its group
    network:  T / S = sum_g w_g S_g / S + sum_g v_g n_g / S + head + noise,   S = sum_g S_g

S_g is what the parts of a group take by themselves and n_g how many they are. w_g is near 1: what
a part takes within a network, over what it takes alone; v_g is what each call costs more or less
there. Both are Gaussian, so that few networks suffice and what they leave open is in the interval,
which is then stretched until it holds as many of the networks as it says when they are left out of
the fit (conformal prediction).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import scipy
from numpy.typing import NDArray

from evnas.arch.spec import ArchSpec
from evnas.errors import MeasurementError
from evnas.latency.parts import Part, parts_of
from evnas.stats.gaussian_process import GaussianProcess

Array = NDArray[np.float64]

LEVEL = 0.9
"""Of the interval: so many networks of the space lie inside."""
SURE = 0.99
"""Of the interval by which a search drops a candidate."""
_REACH = {level: NormalDist().inv_cdf(0.5 + level / 2) for level in (LEVEL, SURE)}
"""Standard deviations to either side."""
FOLDS = 10
LEAST_NETWORKS = 12
LEAST_PARTS = 4
"""Of a group, or all that a space has of it."""
MEASURED_SD = 0.01
"""Relative standard deviation of a part's measurement, on a machine that is not busy."""
MARGIN = 0.25
"""Beyond the range of what was measured, in shares of it, up to which a number may lie."""
KEPT = 100_000
"""Parts whose time is remembered."""
_COMMON, _OWN, _CALL, _HEAD = 0.5, 0.1, 0.1, 0.05
"""Prior standard deviations: of what all w have in common, of each beside it; of v in times of the
group's mean part, of a head's terms in times of the median network."""
_NOISES = (0.003, 0.006, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1)
_STRENGTHS = (0.1, 0.3, 1.0, 3.0)
"""Of the noise, relative, and of all priors; the most likely of them are taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartTime:
    """A part and what it takes by itself."""

    part: Part
    latency_ms: float
    """Of a batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkTime:
    """A network and what it takes."""

    arch: ArchSpec
    latency_ms: float
    """Of a batch."""
    macs: float = math.nan
    """Exact multiply-adds of an image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictedLatency:
    """What is believed of the latency of one batch."""

    mid_ms: float
    low_ms: float
    high_ms: float
    """The ends of the interval at `LEVEL`."""
    surely: tuple[float, float]
    """Those at `SURE`, in ms."""
    outside: str = ""
    """Why it extrapolates, in words; "" where it does not."""


class PartTimes:
    """What parts take by themselves, those that were not measured too.

    Args:
        times: of one batch size.
    """

    def __init__(self, times: Sequence[PartTime]) -> None:
        groups: dict[str, list[PartTime]] = {}
        for time in times:
            groups.setdefault(time.part.group, []).append(time)
        self._groups = {
            name: _Group(members) for name, members in groups.items() if len(members) > 1
        }
        self._known: dict[Part, tuple[float, float]] = {}
        self._outside: dict[Part, str] = {}

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the groups that were measured."""
        return tuple(sorted(self._groups))

    def mean_ms(self, group: str) -> float:
        """Of the parts of a group that were measured."""
        return self._groups[group].mean_ms

    def of(self, part: Part) -> tuple[float, float]:
        """Milliseconds of a batch, and the relative standard deviation of that.

        Raises:
            MeasurementError: no part of its group was measured.
        """
        if part not in self._known:
            group = self._groups.get(part.group)
            if group is None:
                raise MeasurementError(f"no part like {part} was measured")
            if len(self._known) > KEPT:
                self._known.clear()
                self._outside.clear()
            self._known[part] = group.time(part)
            self._outside[part] = group.outside(part)
        return self._known[part]

    def outside(self, part: Part) -> str:
        """Why a part, of a group that was measured, extrapolates; "" where it does not."""
        self.of(part)
        return self._outside[part]


class _Group:
    """Parts of one kind of work."""

    def __init__(self, times: Sequence[PartTime]) -> None:
        self._x = np.asarray([time.part.inputs for time in times])
        y = np.log([time.latency_ms for time in times])
        self._fit = GaussianProcess.fit(self._x, y)
        self.mean_ms = float(np.exp(y).mean())
        # what numbers do not say, beyond what a measurement is off by, is the parts' own: some
        # widths suit a processor and others do not
        self._own = max(0.0, self._fit.noise**2 - MEASURED_SD**2) ** 0.5
        share = (self._own / max(self._fit.noise, MEASURED_SD)) ** 2
        left = share * (y - self._fit.predict(self._x)[0])
        self._known = dict(zip((time.part for time in times), left.tolist(), strict=True))

    def time(self, part: Part) -> tuple[float, float]:
        found, spread = self._fit.predict(np.asarray([part.inputs]))
        mid, sd = float(found[0]), float(spread[0])
        if part in self._known:
            return math.exp(mid + self._known[part]), min(math.hypot(sd, self._own), MEASURED_SD)
        return math.exp(mid), math.hypot(sd, self._own)

    def outside(self, part: Part) -> str:
        low, high = self._x.min(0), self._x.max(0)
        slack = MARGIN * (high - low) + 1e-9
        x = np.asarray(part.inputs)
        for i in np.flatnonzero((x < low - slack) | (x > high + slack)):
            name, value = part.numbers[int(i)]
            least, most = np.expm1(low[i]), np.expm1(high[i])
            return f"{name} {value:g} of a {part.group}, measured from {least:g} to {most:g}"
        return ""


@dataclass(frozen=True, slots=True)
class _Row:
    """A network as the correction sees it."""

    sum_ms: float
    """S: of its parts by themselves."""
    times: Mapping[str, float]
    """Group -> S_g."""
    counts: Mapping[str, int]
    """Group -> n_g."""
    head: str
    head_width: float
    """Sum of the dims that its classifiers read, over 1000."""
    parts_sd: float
    """Relative standard deviation of S, from what the fits of parts leave open."""
    outside: str


class LatencyPredictor:
    """Fitted to parts and networks that were measured on one target.

    Args:
        parts: at the target's batch.
        networks: at the target's batch and resolution.
        resolution: of the networks' images, in pixels.

    Raises:
        MeasurementError: there are too few networks, or no parts.
    """

    def __init__(
        self, parts: Sequence[PartTime], networks: Sequence[NetworkTime], *, resolution: int
    ) -> None:
        if len(networks) < LEAST_NETWORKS or not parts:
            raise MeasurementError(
                f"a predictor needs {LEAST_NETWORKS} networks that were measured, and their "
                f"parts, got {len(networks)} and {len(parts)} parts: let evnas calibrate go on"
            )
        self.resolution = resolution
        self._parts = PartTimes(parts)
        rows, known = self._rows(networks)
        if len(rows) < LEAST_NETWORKS:
            raise MeasurementError(
                f"a predictor needs {LEAST_NETWORKS} networks whose parts were measured, got "
                f"{len(rows)}: let evnas calibrate go on"
            )
        took = np.asarray([network.latency_ms for network in known])
        self._fit = _Correction(rows, took, self._parts)
        self.networks = tuple(known)
        self.held_out = self._left_out(rows, took)
        self._stretch = _stretch(self.held_out, took)

    @property
    def parts(self) -> PartTimes:
        """What parts take by themselves."""
        return self._parts

    def predict(self, arch: ArchSpec) -> PredictedLatency:
        """Latency of a batch on the target.

        Raises:
            MeasurementError: a part is of a kind that was not measured, so nothing can be said.
        """
        row = self._row(arch)
        mid, sd = self._fit.predict([row])
        return self._spelt(float(mid[0]), float(sd[0]), row.outside)

    def sum_ms(self, arch: ArchSpec) -> float:
        """What its parts take by themselves, added up. Raises as `predict`."""
        return self._row(arch).sum_ms

    def _spelt(self, mid: float, sd: float, outside: str) -> PredictedLatency:
        low, high = _ends(mid, sd * self._stretch, LEVEL)
        return PredictedLatency(
            mid_ms=mid,
            low_ms=low,
            high_ms=high,
            surely=_ends(mid, sd * self._stretch, SURE),
            outside=outside,
        )

    def _rows(self, networks: Sequence[NetworkTime]) -> tuple[list[_Row], list[NetworkTime]]:
        """Of those whose parts are all of kinds that were measured."""
        rows, known = [], []
        for network in networks:
            try:
                rows.append(self._row(network.arch))
                known.append(network)
            except MeasurementError:  # its blocks' turn has not come
                continue
        return rows, known

    def _row(self, arch: ArchSpec) -> _Row:
        times: dict[str, float] = {}
        counts: dict[str, int] = {}
        variance, outside = 0.0, ""
        for part, n in parts_of(arch, self.resolution).items():
            took, sd = self._parts.of(part)
            times[part.group] = times.get(part.group, 0.0) + n * took
            counts[part.group] = counts.get(part.group, 0) + n
            variance += (n * took * sd) ** 2  # of one part, whose error its repeats share
            outside = outside or self._parts.outside(part)
        total = sum(times.values())
        dims = [stage.dim for stage in arch.stages]
        read = dims[-1:] if arch.head.fusion == "none" else dims
        return _Row(
            sum_ms=total,
            times=times,
            counts=counts,
            head=f"head {arch.head.fusion}",
            head_width=sum(read) * arch.num_classes / 1e6,
            parts_sd=math.sqrt(variance) / total,
            outside=outside,
        )

    def _left_out(self, rows: list[_Row], took: Array) -> tuple[tuple[float, float], ...]:
        """(mid in ms, relative sd) of each network, by a fit to the other folds."""
        place = np.random.default_rng(0).permutation(len(rows)) % FOLDS
        found: dict[int, tuple[float, float]] = {}
        for fold in range(FOLDS):
            out = np.flatnonzero(place == fold)
            if not len(out):
                continue
            stay = np.flatnonzero(place != fold)
            fit = _Correction([rows[i] for i in stay], took[stay], self._parts)
            mid, sd = fit.predict([rows[i] for i in out])
            found |= dict(
                zip(out.tolist(), zip(mid.tolist(), sd.tolist(), strict=True), strict=True)
            )
        return tuple(found[i] for i in range(len(rows)))

    def held_out_predictions(self) -> list[PredictedLatency]:
        """Of each of `networks`, by a fit that did not see it; the stretch saw all."""
        return [self._spelt(mid, sd, "") for mid, sd in self.held_out]


class _Correction:
    """w, v and heads: a Bayesian linear regression of T / S."""

    def __init__(self, rows: Sequence[_Row], took: Array, parts: PartTimes) -> None:
        self._groups = parts.groups
        self._unit = {group: _CALL * parts.mean_ms(group) for group in self._groups}
        self._heads = tuple(sorted({row.head for row in rows}))
        self._typical = float(np.median([row.sum_ms for row in rows]))
        z = self._design(rows)
        sums = np.asarray([row.sum_ms for row in rows])
        own = np.asarray([row.parts_sd for row in rows])
        y = took / sums - 1.0
        _, noise, strength = max(
            (_evidence(z, y, own, noise=n, strength=s), n, s) for n in _NOISES for s in _STRENGTHS
        )
        self._noise, self._strength = noise, strength
        self._z = z
        self._factor = scipy.linalg.cho_factor(
            _gram(z, own, noise=noise, strength=strength), lower=True
        )
        self._weights = scipy.linalg.cho_solve(self._factor, y)

    def predict(self, rows: Sequence[_Row]) -> tuple[Array, Array]:
        """Milliseconds, and their relative standard deviation."""
        z = self._design(rows)
        cross = self._strength**2 * z @ self._z.T
        over = 1.0 + cross @ self._weights
        prior = self._strength**2 * (z * z).sum(1)
        explained = (cross * scipy.linalg.cho_solve(self._factor, cross.T).T).sum(1)
        own = np.asarray([row.parts_sd for row in rows])
        variance = np.maximum(prior - explained, 0.0) + self._noise**2 + own**2
        sums = np.asarray([row.sum_ms for row in rows])
        over = np.maximum(over, 0.05)  # a sum of parts is never off by so much
        return sums * over, np.sqrt(variance) / over

    def _design(self, rows: Sequence[_Row]) -> Array:
        """(n, weights), each column in units of its prior's standard deviation."""
        columns: list[list[float]] = [[_COMMON for _ in rows]]
        for group in self._groups:
            columns.append([_OWN * row.times.get(group, 0.0) / row.sum_ms for row in rows])
            columns.append(
                [self._unit[group] * row.counts.get(group, 0) / row.sum_ms for row in rows]
            )
        unit = _HEAD * self._typical
        for head in self._heads:
            columns.append([unit * (row.head == head) / row.sum_ms for row in rows])
            columns.append(
                [unit * (row.head == head) * row.head_width / row.sum_ms for row in rows]
            )
        return np.asarray(columns, dtype=np.float64).T


def _gram(z: Array, own: Array, *, noise: float, strength: float) -> Array:
    gram: Array = strength**2 * (z @ z.T) + np.diag(noise**2 + own**2)
    return gram


def _evidence(z: Array, y: Array, own: Array, *, noise: float, strength: float) -> float:
    factor = scipy.linalg.cho_factor(_gram(z, own, noise=noise, strength=strength), lower=True)
    return float(-0.5 * y @ scipy.linalg.cho_solve(factor, y) - np.log(np.diag(factor[0])).sum())


def _ends(mid: float, sd: float, level: float) -> tuple[float, float]:
    reach = math.exp(_REACH[level] * sd)
    return mid / reach, mid * reach


def _stretch(held_out: Sequence[tuple[float, float]], took: Array) -> float:
    """By how much intervals are to be wider than their standard deviations say, so that `LEVEL` of
    the networks lie inside (V. Vovk et al., Algorithmic Learning in a Random World, 2005)."""
    scores = sorted(
        abs(math.log(t / mid)) / sd for (mid, sd), t in zip(held_out, took.tolist(), strict=True)
    )
    rank = min(len(scores), math.ceil(LEVEL * (len(scores) + 1)))
    return scores[rank - 1] / _REACH[LEVEL]
