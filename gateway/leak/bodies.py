"""Air bodies: segments that open hatches join, how much air each body holds, and hatches that are not what they seem.

Segments of one body have one pressure: through an open hatch of 0.5 m2 a difference of 1 kPa is gone in 0.12 s. So all
transducers of a body measure the same thing, and its air is known from pressure, mean temperature and volume.
Most transducers measure total pressure. Where partial pressures are measured, too, they are taken off, and the level is
that of nitrogen, which nobody breathes. Where they are not, total pressure stands for it, and what crew and machines do
to oxygen and carbon dioxide is an error that the rig file states (`[leak] gas_error`).
"""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Final

from drivers.rig import HatchState, Segment
from drivers.rig_gateway import Leak
from drivers.units import GASES
from gateway.leak.fused import FusedMean
from gateway.leak.gases import NO_GASES, GasesNow, GasNow
from gateway.leak.noise import Noise
from gateway.leak.segment_state import DRIFT_SHARE, SegmentState

T_REF_K: Final = 295.15
AIR_S: Final = 2700.0  # how long an error of the bulk temperature lasts
GAS_CONSTANT: Final = 8.31446  # J/(mol K)
AIR_KG_PER_MOL: Final = 0.0289652
_MINUTE: Final = 60  # steps
_NO_TEMPERATURE_K: Final = 0.3
_GAS_PART: Final = 3.0  # what gas sensors err by comes and goes nine times as fast as the air's temperature
_LEAST_NITROGEN: Final = 0.2  # of the pressure


@dataclass(frozen=True, slots=True, kw_only=True)
class AirBody:
    """Segments that open hatches join.

    Attributes:
        segments: in the order of the rig file.
        volume_m3: NaN when the volume of any of them is unknown.
        volume_relative_sigma: its relative standard deviation.
    """

    segments: tuple[str, ...]
    volume_m3: float
    volume_relative_sigma: float

    def rate_kg_per_s(self, slope_pa_per_s: float) -> float:
        """Return the air lost with a slope of the level, NaN when the volume is unknown."""
        return slope_pa_per_s * self.volume_m3 * AIR_KG_PER_MOL / (GAS_CONSTANT * T_REF_K)

    def slope_pa_per_s(self, rate_kg_per_s: float) -> float:
        """Return the slope of the level that a loss of air makes."""
        return rate_kg_per_s * GAS_CONSTANT * T_REF_K / (self.volume_m3 * AIR_KG_PER_MOL)


def bodies(
    segments: Mapping[str, Segment], passages: Iterable[tuple[tuple[str, str], HatchState]]
) -> tuple[AirBody, ...]:
    """Partition a station; a hatch of unknown state counts as closed, so that each side's loss is seen by itself.

    Args:
        segments: of the rig file.
        passages: what each hatch joins, and its state.
    """
    home = {name: name for name in segments}

    def root(name: str) -> str:
        while home[name] != name:
            home[name] = home[home[name]]
            name = home[name]
        return name

    for (one, other), state in passages:
        if state is HatchState.OPEN:
            home[root(other)] = root(one)
    groups: dict[str, list[str]] = {}
    for name in segments:
        groups.setdefault(root(name), []).append(name)
    return tuple(_body(names, segments) for names in groups.values())


def _body(names: list[str], segments: Mapping[str, Segment]) -> AirBody:
    volumes = [segments[name].volume or math.nan for name in names]
    sigmas = [  # the file states 95 %
        volume * segments[name].volume_uncertainty / 2 for name, volume in zip(names, volumes, strict=True)
    ]
    volume_m3 = sum(volumes)
    return AirBody(segments=tuple(names), volume_m3=volume_m3, volume_relative_sigma=math.hypot(*sigmas) / volume_m3)


Basis = Mapping[str, bool]
"""Gases that are taken off a level, and whether all that measure one are silent, so that it is only taken to go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GasNoise:
    """What taking gases off adds to the noise of a level.

    Attributes:
        white_pa: noise of single readings; drift goes with it.
        sd_pa: standard deviation of what is taken off, for some minutes.
    """

    white_pa: float = 0.0
    sd_pa: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """How much air a body holds after one step.

    Attributes:
        x_pa: its pressure referred to 295.15 K, NaN when nobody says anything. Where gases are taken off, it is that of
            nitrogen over nitrogen's share when they began to be: air that is lost moves it as it moves the pressure.
        pressure_pa: as measured, offsets between transducers taken off.
        white_pa: standard deviation of `x_pa` from step to step, NaN until the transducers' noise is learned.
        coarse_pa: the part of that which cannot be averaged away, as it is resolution.
        temperature_k: mean by volume, NaN when none is measured; then `x_pa` follows the pressure alone.
        anew: whether `x_pa` does not go on from the one before: it is of other transducers.
        basis: gases that are taken off; a level on another basis is not comparable.
        gas: what they add to its noise.
    """

    x_pa: float
    pressure_pa: float
    white_pa: float
    coarse_pa: float
    temperature_k: float
    anew: bool = False
    basis: Basis = field(default_factory=dict)
    gas: GasNoise = GasNoise()


class BodyLevel:
    """The level of one air body, step by step; continuous when segments fall silent and come back."""

    def __init__(self, body: AirBody, segments: Mapping[str, Segment]) -> None:
        self.body = body
        self._volumes = {name: segments[name].volume or 1.0 for name in body.segments}
        self._pressure = FusedMean()
        self._coldness = FusedMean()
        self._gases: dict[str, FusedMean] = {}
        self._spoke: dict[str, frozenset[str]] = {}
        self._basis: Basis = {}
        self._share = 1.0

    def take(self, states: Mapping[str, SegmentState], gases: GasesNow = NO_GASES) -> Level:
        """Take the states of this step; of segments whose transducers contradict each other nothing is taken.

        Args:
            states: by segment.
            gases: what is known of the body's partial pressures.
        """
        here = [states[name] for name in self.body.segments if name in states]
        for state in here:
            if state.anew:
                self._pressure.forget(state.segment)
                self._coldness.forget(state.segment)
        sound = [state for state in here if state.used and state.agreed]
        learned = not any(math.isnan(state.white_pa) for state in sound if state.fresh)
        weights = {
            state.segment: state.white_pa**-2 if learned and not math.isnan(state.white_pa) else 1.0 for state in sound
        }
        said = {state.segment: state.pressure_pa for state in sound if state.fresh}
        pressure_pa = self._pressure.take(said, weights)
        counted = [state for state in sound if state.fresh and self._pressure.knows(state.segment)]
        total = sum(weights[state.segment] for state in counted) or math.nan
        warm = {state.segment: 1 / state.temperature_k for state in here if not math.isnan(state.temperature_k)}
        coldness = self._coldness.take(warm, {name: self._volumes[name] for name in warm})
        level = Level(
            x_pa=pressure_pa * (1.0 if math.isnan(coldness) else T_REF_K * coldness),
            pressure_pa=pressure_pa,
            white_pa=total**-0.5 if learned else math.nan,
            coarse_pa=math.hypot(*(weights[state.segment] * state.coarse_pa for state in counted)) / total,
            temperature_k=1 / coldness,
            anew=self._pressure.anew or self._coldness.anew,
        )
        return self._without(level, gases) if gases or self._basis else level

    def _without(self, level: Level, gases: GasesNow) -> Level:
        """Take the gases off; those that would leave hardly any nitrogen are no measurement of it."""
        if math.isnan(level.pressure_pa):
            return level if math.isnan(self._share) else replace(level, basis=self._basis)
        heard = {gas: _heard(says) for gas, says in gases.items()}
        left = 1 - sum(self._part(gas, says) for gas, says in heard.items())
        basis = {gas: all(each.held for each in says.values()) for gas, says in heard.items()}
        if basis != self._basis:
            self._basis, self._share = basis, left if left >= _LEAST_NITROGEN else math.nan
        if not self._basis or math.isnan(self._share):
            return level
        scale_pa = level.pressure_pa / self._share
        each = [(now.white / len(says), now.sd / len(says)) for says in heard.values() for now in says.values()]
        return replace(
            level,
            x_pa=level.x_pa * left / self._share,
            white_pa=level.white_pa / self._share,
            coarse_pa=level.coarse_pa / self._share,
            anew=level.anew or any(self._gases[gas].anew for gas in heard),
            basis=self._basis,
            gas=GasNoise(
                white_pa=scale_pa * math.hypot(*(white for white, _ in each)),
                sd_pa=scale_pa * math.hypot(*(sd for _, sd in each)),
            ),
        )

    def _part(self, gas: str, says: Mapping[str, GasNow]) -> float:
        """Return a gas's part of the pressure; who has been away joins at the value that the others have."""
        mean, spoke = self._gases.setdefault(gas, FusedMean()), self._spoke.get(gas, frozenset())
        for name in spoke - says.keys():
            mean.forget(name)
        self._spoke[gas] = frozenset(says)
        return mean.take({name: each.part for name, each in says.items()}, dict.fromkeys(says, 1.0))


def _heard(says: Mapping[str, GasNow]) -> Mapping[str, GasNow]:
    """Return the transducers that speak of a gas; when none does, those that are taken to go on."""
    return {name: each for name, each in says.items() if not each.held} or says


def air_error_k(body: AirBody, segments: Mapping[str, Segment], measured: Collection[str], error_k: float) -> float:
    """Return the standard deviation of a body's mean temperature; segments err each for itself, and weigh by volume.

    Args:
        body: the body.
        segments: of the rig file.
        measured: segments whose temperature is.
        error_k: of such a segment; of the others it is at least 0.3 K.
    """
    volumes = {name: segments[name].volume or 1.0 for name in body.segments}
    errors = (
        volume * (error_k if name in measured else max(error_k, _NO_TEMPERATURE_K)) for name, volume in volumes.items()
    )
    return math.hypot(*errors) / sum(volumes.values())


def level_noise(
    level: Level, body: AirBody, segments: Mapping[str, Segment], measured: Collection[str], settings: Leak
) -> Noise:
    """Return what a level does from second to second without a leak.

    Args:
        level: of the body; its transducers' noise is learned.
        body: the body.
        segments: of the rig file.
        measured: segments whose temperature is.
        settings: how well that and the gases are known.
    """
    error_k = air_error_k(body, segments, measured, settings.temperature_error)
    gas_pa = _GAS_PART * level.gas.sd_pa
    return Noise(
        white_pa=level.white_pa,
        drift_pa=DRIFT_SHARE * math.hypot(level.white_pa, level.gas.white_pa),
        air_pa=math.hypot(error_k * level.pressure_pa / T_REF_K, settings.gas_error, level.coarse_pa, gas_pa),
        air_s=AIR_S,
        step_s=1.0,
    )


def basis_in_words(basis: Basis) -> Iterator[str]:
    """Say which gases are taken off a level, nothing when none is."""
    heard = [gas for gas, held in basis.items() if not held]
    if heard:
        missing = [gas for gas in GASES if gas not in basis]
        text = f"nitrogen is watched: {', '.join(heard)} taken off"
        yield f"{text}, {', '.join(missing)} not measured" if missing else text
    if silent := [gas for gas, held in basis.items() if held]:
        names = ", ".join(silent)
        yield f"what measures {names} is silent: {names} is taken to go on as in the hours before, for a day"


class ClosedHatch:
    """Whether a hatch that is said to be closed lets air pass: do both sides stay equal though their air warms apart?

    Behind a closed hatch a side's pressure follows its own temperature; through an open one both sides share one. So
    when measured temperatures move apart and the pressures do not, air passes. Minutes that are `apart_s` apart are
    compared, by their likelihoods under "closed" and under "open". Without temperatures, or while they move together,
    there is no evidence and none is claimed.

    Args:
        error_pa: standard deviation of what the measured temperature leaves unexplained on one side.
        apart_s: correlation time of that.
        limit: of the logarithm of the odds, for an alarm.
    """

    def __init__(self, *, error_pa: float, apart_s: float, limit: float) -> None:
        self._variance = 4 * (1 - math.exp(-1)) * error_pa**2  # of the difference of two sides' changes
        self._apart_s = apart_s
        self._limit = limit
        self._next_s = -math.inf
        self._minute: list[tuple[Level, Level]] = []
        self._before: tuple[float, float, float] | None = None
        self.log_odds = 0.0

    @property
    def passes_air(self) -> bool:
        """Whether the evidence is beyond the limit."""
        return self.log_odds >= self._limit

    def take(self, one: Level, other: Level, now_s: float) -> None:
        """Take the levels of both sides in one step; call it for each step while the hatch is closed."""
        if now_s < self._next_s or math.isnan(one.pressure_pa + one.temperature_k):
            return
        if math.isnan(other.pressure_pa + other.temperature_k):
            return
        self._minute.append((one, other))
        if len(self._minute) == _MINUTE:
            self._compare()
            self._minute, self._next_s = [], now_s + self._apart_s

    def _compare(self) -> None:
        """Compare this minute with the last one."""
        first = [one for one, _ in self._minute]
        second = [other for _, other in self._minute]
        apart_pa = fmean(each.pressure_pa for each in first) - fmean(each.pressure_pa for each in second)
        warmth_k = [fmean(each.temperature_k for each in side) for side in (first, second)]
        if self._before is not None:
            change_pa = apart_pa - self._before[0]
            one_pa, other_pa = (
                side[-1].pressure_pa * (now_k / before_k - 1)
                for side, now_k, before_k in zip((first, second), warmth_k, self._before[1:], strict=True)
            )
            expected_pa = one_pa - other_pa
            gain = (expected_pa**2 - 2 * change_pa * expected_pa) / (2 * self._variance)
            self.log_odds = min(max(self.log_odds + gain, 0.0), 2 * self._limit)
        self._before = (apart_pa, warmth_k[0], warmth_k[1])


def differ(one: SegmentState, other: SegmentState, sigmas: float = 4.5) -> bool:
    """Say whether two segments certainly have different pressures: no open hatch is between them."""
    if math.isnan(one.u95_pa) or math.isnan(other.u95_pa) or not (one.agreed and other.agreed):
        return False
    return abs(one.pressure_pa - other.pressure_pa) > sigmas / 2 * math.hypot(one.u95_pa, other.u95_pa)
