"""Which answers a unit still owes, and so whether a frame proves to be the answer to the newest question.

A Modbus RTU answer names its unit, function and length, not the question. A device answers strictly in order, but an
answer can be lost, can come at any later time, and can come twice. Then a frame proves to be the newest question's
answer only if no older question without an answer could have caused it, and if it is not byte for byte the frame heard
before it (in order, a duplicate can only repeat the newest frame). This is the alternating-bit argument, with the kind
of the answer as the bit. Pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from drivers.exchange import Request

_PATIENCE: Final = 4
_LAG: Final = 2


class Verdict(Enum):
    """What an intact frame of a unit turns out to be."""

    PROVEN = auto()
    """The answer to the newest question, and to nothing else."""
    LATE = auto()
    """The answer to an older question, or not to be told apart from one."""
    REPEAT = auto()
    """Equal to the frame heard last: a duplicate, or a new answer with the same content."""
    STRAY = auto()
    """An answer to nothing that was asked."""


@dataclass(slots=True)
class _Owed:
    request: Request
    times: int  # asked that often in a row without an answer
    after_others: bool = True  # asked after all that others were heard to ask
    alike: bool = False  # others have asked the same after it, and nothing else


class Ledger:
    """The questions to one unit that have no answer yet, oldest first."""

    __slots__ = ("_doubted", "_fresh", "_lag", "_last_frame", "_last_request", "_others", "_owed", "_repeats")

    def __init__(self) -> None:
        self._fresh = True  # somebody before us may have asked: the first answer must be a fence's
        self._others = False  # somebody else has asked, and no fence put after that has been answered
        self._owed: list[_Owed] = []
        self._doubted: Request | None = None
        self._last_frame = b""
        self._last_request: Request | None = None
        self._repeats = 0  # in a row
        self._lag = 0  # answers in a row that proved to be older ones, if they were answers at all

    @property
    def owed(self) -> Iterable[Request]:
        """The distinct questions without an answer, oldest first."""
        return [entry.request for entry in self._owed]

    def asked(self, request: Request) -> None:
        """Note that a question went out."""
        if self._owed and self._owed[-1].request.frame == request.frame:
            self._owed[-1].times += 1
        else:
            self._owed.append(_Owed(request, 1))

    def reopened(self) -> None:
        """Note that the line was away: somebody else may have asked meanwhile."""
        self._fresh = True

    def overheard(self, *, alike: bool = False) -> None:
        """Note that somebody else talks with the unit: it may owe an answer to a question that is not ours.

        Args:
            alike: they have asked what was asked last; its answer is the wanted value whoever caused it.
        """
        for entry in self._owed:
            entry.after_others = False
            entry.alike = alike and not self._others
        self._others = True

    def over(self) -> None:
        """Note that the unit owes nothing and nothing heard before can come again: others have the proof of that."""
        self._fresh = self._others = False
        self._repeats = self._lag = 0
        self._owed.clear()
        self._doubted = self._last_request = None
        self._last_frame = b""

    @property
    def behind(self) -> bool:
        """Whether the unit answers one question after another and each answer may be an older one's."""
        return self._lag >= _LAG

    def heard_last(self, request: Request) -> bool:
        """Say whether the frame heard last answers this question, so that an equal answer to it would prove nothing."""
        return self._last_request is not None and self._last_request.frame == request.frame

    def settled(self, request: Request) -> bool:
        """Say whether no older answer can be taken for the answer to this question, were it asked now."""
        return not (self._fresh or self._others) and not any(request.confusable(entry.request) for entry in self._owed)

    def heard(self, frame: bytes, answers: Request) -> Verdict:
        """Judge an intact frame from this unit, and strike the questions that it proves to be over.

        Args:
            frame: the frame.
            answers: a question that it is known to answer.
        """
        fits = [
            index
            for index, entry in enumerate(self._owed)
            if entry.request is answers or entry.request.measure(frame, 0) == len(frame)
        ]
        if frame == self._last_frame:
            if not fits:
                return Verdict.STRAY
            self._last_request = answers  # as a fence it would bring the same again
            self._repeats += 1
            self.doubted(answers)
            return Verdict.REPEAT
        if not fits:
            return Verdict.STRAY
        first = fits[0]
        answered = self._owed[first]
        self._last_frame = frame
        self._last_request = answered.request
        self._fresh = False
        self._repeats = 0
        self._others &= not answered.after_others  # what they asked before that is answered too
        proven = first == len(self._owed) - 1 and answered.times == 1 and (not self._others or answered.alike)
        self._lag = 0 if proven else self._lag + 1
        answered.times -= 1
        del self._owed[: first if answered.times else first + 1]
        return Verdict.PROVEN if proven else Verdict.LATE

    def doubted(self, request: Request) -> None:
        """Note that a question brought nothing intact, or nothing new: after a few times another fence is worth a try.

        A barometer that echoes talks over one fence and answers the others; a transmitter that has restarted refuses
        all but one. The longer it lasts, the longer each is tried, so that a unit that babbles for days owes hundreds
        of questions, not tens of thousands.
        """
        self._lag = 0
        if self._owed and self._owed[-1].times >= _PATIENCE + len(self._owed) // _PATIENCE:
            self._doubted = request

    def fence(self, fences: Iterable[Request]) -> Request:
        """Choose the question whose answer will prove most.

        Best is one that did not bring the frame heard last (its answer could be equal; that says nothing of any one
        where all bring it, as of a unit that refuses everything in the same words), is not owed, and was not doubted
        just now. Of equals it is the one asked last, so that a unit silent for days owes two questions, not thousands,
        and when that one is doubted the one not asked for the longest time, so that each has its turn.
        """
        owed = {entry.request.frame: rank for rank, entry in enumerate(self._owed)}
        alike = self._repeats > _PATIENCE
        in_turn = self._doubted is not None and bool(self._owed) and self._owed[-1].request is self._doubted

        def merit(request: Request) -> tuple[bool, bool, bool, int]:
            rank = owed.get(request.frame, -1)
            return (
                alike or not self.heard_last(request),
                request.frame not in owed,
                request is not self._doubted,
                -rank if in_turn else rank,
            )

        return max(fences, key=merit)
