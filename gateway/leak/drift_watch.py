"""Finds a transducer that leaves its neighbours slowly: a leak moves all of a segment, a drift only one."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean, pstdev
from typing import Final

from gateway.leak.detector import Detector, parity_detector
from gateway.leak.noise import Noise
from gateway.leak.segment_state import DRIFT_SHARE, SegmentVote
from gateway.leak.transducer_record import Rejection, Sample

_MINUTE: Final = 60
_RESTLESS: Final = 1.6  # of one transducer; by this factor its noise may grow before what is found counts as noise
_ENOUGH: Final = 30  # values of a minute, for their scatter to say that
_CLEARLY: Final = math.log(100.0)  # by which the evidence against one must exceed that against the next
_SETTLED_AFTER: Final = 10  # minutes: then noise is known to 5 %, and the offset of a transducer that came back
_BACK_AFTER: Final = 1440  # minutes without a drift


@dataclass(slots=True)
class _Parity:
    """One transducer against the mean.

    Attributes:
        minute: its distances in this minute, Pa.
        noise_pa: standard deviation of these when the detector began.
        samples: of a usual minute.
        calm: minutes without an alarm.
    """

    minute: list[float] = field(default_factory=list)
    detector: Detector | None = None
    noise_pa: float = math.nan
    samples: int = 1
    statistic: float = -math.inf
    calm: int = 0

    def begin_anew(self) -> None:
        self.detector, self.statistic = None, -math.inf


class DriftWatch:
    """The transducers of one segment, a sample a minute each.

    With three or more the one that drifts is named and left out, and believed again after a day without drift. Of two
    nobody can say which: the segment's quality says that there is doubt.

    Args:
        vote: of the segment.
        false_alarm_s: mean time between false alarms of the whole segment.
    """

    def __init__(self, vote: SegmentVote, false_alarm_s: float) -> None:
        self._vote = vote
        self._members = {name: _Parity() for name in vote.names}
        self._false_alarm_s = false_alarm_s * len(self._members)
        self._steps = 0
        self._believed = frozenset(self._members)
        self._unchanged = 0

    def take(self, said: Mapping[str, Sample]) -> None:
        """Take one step, after the vote has."""
        if len(self._members) < 2 or not self._vote.learned:
            return
        for name, sample in said.items():
            if not math.isnan(sample.pressure_pa):
                self._members[name].minute.append(self._vote.parity_pa(name))
        self._steps += 1
        if self._steps % _MINUTE == 0 and self._settled():
            drifting = [name for name, parity in self._members.items() if self._drifts(name, parity)]
            if drifting:
                self._name(drifting)

    def _settled(self) -> bool:
        """Say whether the same ones have been believed for a while; else begin anew, for the mean moved a little."""
        believed = frozenset(name for name in self._members if self._vote.verdict(name) is None)
        self._unchanged = self._unchanged + 1 if believed == self._believed else 0
        self._believed = believed
        if self._unchanged >= _SETTLED_AFTER:
            return True
        for parity in self._members.values():
            parity.begin_anew()
            parity.minute.clear()
        return False

    def _drifts(self, name: str, parity: _Parity) -> bool:
        minute, parity.minute = parity.minute, []
        apart_pa = fmean(minute) if minute and len(minute) >= parity.samples / 2 else math.nan
        white_pa = self._vote.parity_noise_pa(name)
        if self._vote.verdict(name) not in (None, Rejection.DRIFTS) or self._vote.coarse(name) or not white_pa:
            parity.begin_anew()  # it has jumped or stands still, moves in steps, or is alone: what it does is no drift
            return False
        if parity.detector is None:
            parity.noise_pa = white_pa
            parity.samples = max(len(minute), 1)
            noise = Noise(
                white_pa=white_pa / math.sqrt(parity.samples), drift_pa=DRIFT_SHARE * white_pa, step_s=float(_MINUTE)
            )
            parity.detector = parity_detector(noise, false_alarm_s=self._false_alarm_s)
        verdict = parity.detector.take(apart_pa)
        alarm, parity.statistic = verdict.alarm, verdict.log_statistic
        if alarm and max(white_pa, self._scatter_pa(name, minute)) > _RESTLESS * parity.noise_pa:
            alarm = False  # it has only become noisier; the others were compared with it, and begin anew, too
            for each in self._members.values():
                each.begin_anew()
        parity.calm = 0 if alarm else parity.calm + 1
        if alarm and self._vote.verdict(name) is Rejection.DRIFTS:
            parity.detector = None  # named already: it has to be without drift anew
        elif parity.calm >= _BACK_AFTER:
            if self._vote.verdict(name) is Rejection.DRIFTS:
                self._vote.accept(name)
            self._vote.doubtful = False
        return alarm

    def _scatter_pa(self, name: str, minute: Sequence[float]) -> float:
        """Return how noisy it is of late: by this minute, which 60 values know to 9 %, or by its last 30 values."""
        if len(minute) >= _ENOUGH:
            return pstdev(minute)
        return self._vote.unrest(name) * self._vote.parity_noise_pa(name)

    def _name(self, drifting: list[str]) -> None:
        """Name the one against which most speaks by far, for what one does shows in the mean of all; then begin anew.

        Until then, or when there are only two, nobody is named and the quality says that there is doubt.
        """
        believed = [name for name in self._members if self._vote.verdict(name) is None]
        if len(believed) < 2 or not set(drifting) & set(believed):
            return
        *_, second, first = sorted(believed, key=lambda name: self._members[name].statistic)
        clear = self._members[first].statistic >= self._members[second].statistic + _CLEARLY
        self._vote.doubtful = len(believed) == 2 or not clear
        if not self._vote.doubtful:
            self._vote.reject_drift(first)
        elif len(believed) > 2:
            return  # it will be clear later
        for parity in self._members.values():
            parity.begin_anew()
            parity.calm = 0
