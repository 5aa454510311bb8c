"""Where two records of a line differ, question by question: bytes, latencies, silences, what was answered. Pure.

Two lines never say the same values. So a byte counts as different only where it stands still in both records and is
not the same: a byte that moves in either (a value, its checksum) is a value, not behaviour. `exact` counts those too,
answer by answer.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from statistics import median
from typing import Final

from drivers.rig_problems import counted
from drivers.trace.exchanges import Conversation, Exchange

_IN_FLIGHT_NS: Final = 500_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Up to where two lines count as equal.

    Attributes:
        bytes: places of a question's answer that may differ.
        latency_s: difference of the median latencies of a question.
        tail_s: the same of the 95th percentiles; None: not judged, for a few slow answers move it.
        questions: questions of a bus that may be asked in one record alone.
        unanswered: difference of the shares of a question's attempts that nothing answered.
        violations: difference of the numbers of questions put before T3.5 of silence.
        exact: moving bytes count as well, answer by answer.
    """

    bytes: int = 0
    latency_s: float = 0.005
    tail_s: float | None = None
    questions: int = 0
    unanswered: float = 0.0
    violations: int = 0
    exact: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """From a question's end to its answer's start, s; None when nothing answered."""

    median: float | None
    p95: float | None
    longest: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """What one record has of a question.

    Attributes:
        sample: its last answer, to show.
        fixed: place -> the byte that all its answers have there.
        lengths: how long its answers are, and how often.
    """

    asked: int
    unanswered: int
    sample: bytes
    fixed: Mapping[int, int]
    lengths: Mapping[int, int]
    latency: Latency


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionDifference:
    """One question in both records; None where it was not asked.

    Attributes:
        places: where the answers differ.
        findings: what is beyond the limits, in words.
    """

    question: bytes
    a: Side | None
    b: Side | None
    places: tuple[int, ...]
    findings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BusDifference:
    """One bus in both records.

    Attributes:
        violations: questions put before T3.5 of silence in A and in B; None on a bus that has no T3.5.
        shortest_gap_s: the shortest silence before a question in A and in B.
        unasked: runs without a question in A and in B.
        notes: what A and B noted (faults, garbled runs), counted.
        findings: what is beyond the limits for the bus as a whole, in words.
    """

    bus: str
    questions: tuple[QuestionDifference, ...]
    latency: tuple[Latency, Latency]
    violations: tuple[int, int] | None
    shortest_gap_s: tuple[float | None, float | None]
    unasked: tuple[int, int]
    notes: tuple[Mapping[str, int], Mapping[str, int]]
    findings: tuple[str, ...]

    @property
    def equal(self) -> bool:
        """Whether all is within the limits."""
        return not self.findings and not any(each.findings for each in self.questions)


def compare(a: Mapping[str, Conversation], b: Mapping[str, Conversation], limits: Limits) -> tuple[BusDifference, ...]:
    """Compare two records bus by bus; a bus that only one has is compared with silence."""
    return tuple(_bus(name, (a.get(name), b.get(name)), limits) for name in {**a, **b})


def _bus(name: str, sides: tuple[Conversation | None, Conversation | None], limits: Limits) -> BusDifference:
    there = [side for side in sides if side is not None]
    findings = [] if len(there) == len(sides) else [f"only in {'A' if there[0] is sides[0] else 'B'}"]
    a, b = (_whole(side or Conversation(bus=there[0].bus)) for side in sides)
    groups_a, groups_b = a.by_question(), b.by_question()
    questions = tuple(
        _question(question, groups_a.get(question, []), groups_b.get(question, []), limits)
        for question in {**groups_a, **groups_b}
    )
    lone = [each for each in questions if each.a is None or each.b is None]
    if len(lone) > limits.questions:
        only_a = sum(each.b is None for each in lone)
        findings.append(f"{counted(only_a, 'question')} only in A, {len(lone) - only_a} only in B")
    violations = None
    if a.framed or b.framed:
        violations = _violations(a), _violations(b)
        if abs(violations[0] - violations[1]) > limits.violations:
            findings.append(f"questions before T3.5 of silence: {violations[0]} in A, {violations[1]} in B")
    return BusDifference(
        bus=name,
        questions=questions,
        latency=(_latency(a.exchanges), _latency(b.exchanges)),
        violations=violations,
        shortest_gap_s=(_shortest_gap_s(a), _shortest_gap_s(b)),
        unasked=(len(a.unasked), len(b.unasked)),
        notes=(dict(a.notes), dict(b.notes)),
        findings=tuple(findings),
    )


def _whole(conversation: Conversation) -> Conversation:
    """Leave out the last questions when the record may have ended before their answers came."""
    exchanges = list(conversation.exchanges)
    end_ns = max((at_ns for each in exchanges for at_ns in (each.at_ns, *(run.at_ns for run in each.runs))), default=0)
    while exchanges and not exchanges[-1].runs and end_ns - exchanges[-1].at_ns < _IN_FLIGHT_NS:
        exchanges.pop()
    return replace(conversation, exchanges=exchanges)


def _question(question: bytes, a: Sequence[Exchange], b: Sequence[Exchange], limits: Limits) -> QuestionDifference:
    side_a, side_b = _side(a), _side(b)
    places: tuple[int, ...] = ()
    findings: list[str] = []
    if side_a is not None and side_b is not None:
        places = _places(a, b) if limits.exact else _still_places(side_a, side_b)
        findings += _byte_findings(side_a, side_b, places, limits)
        findings += _latency_findings(side_a.latency, side_b.latency, limits)
        shares = side_a.unanswered / side_a.asked, side_b.unanswered / side_b.asked
        if not abs(shares[0] - shares[1]) <= limits.unanswered:  # so that not-a-number is no limit that all keep
            findings.append(f"unanswered: {shares[0]:.1%} in A, {shares[1]:.1%} in B")
    return QuestionDifference(question=question, a=side_a, b=side_b, places=places, findings=tuple(findings))


def _side(exchanges: Sequence[Exchange]) -> Side | None:
    if not exchanges:
        return None
    answers = [each.answer for each in exchanges if each.runs]
    shortest = min(map(len, answers), default=0)
    fixed = {place: answers[0][place] for place in range(shortest) if len({each[place] for each in answers}) == 1}
    return Side(
        asked=len(exchanges),
        unanswered=len(exchanges) - len(answers),
        sample=answers[-1] if answers else b"",
        fixed=fixed,
        lengths=dict(Counter(map(len, answers))),
        latency=_latency(exchanges),
    )


def _still_places(a: Side, b: Side) -> tuple[int, ...]:
    """Return the places at which both records stand still and differ."""
    return tuple(place for place, byte in a.fixed.items() if b.fixed.get(place, byte) != byte)


def _places(a: Sequence[Exchange], b: Sequence[Exchange]) -> tuple[int, ...]:
    """Return the places at which any answer of A differs from the same one of B."""
    pairs = zip([each.answer for each in a if each.runs], [each.answer for each in b if each.runs], strict=False)
    return tuple(
        sorted({place for one, other in pairs for place, (x, y) in enumerate(zip_longest(one, other)) if x != y})
    )


def _byte_findings(a: Side, b: Side, places: tuple[int, ...], limits: Limits) -> list[str]:
    findings = []
    if a.lengths and b.lengths and a.lengths.keys() != b.lengths.keys():
        findings.append(f"answers of {_sizes(a.lengths)} bytes in A, {_sizes(b.lengths)} in B")
    if len(places) > limits.bytes:
        findings.append(f"bytes differ at {', '.join(map(str, places))}")
    return findings


def _sizes(lengths: Mapping[int, int]) -> str:
    return ", ".join(f"{size} ({number} x)" for size, number in sorted(lengths.items()))


def _latency_findings(a: Latency, b: Latency, limits: Limits) -> list[str]:
    judged = [("median", a.median, b.median, limits.latency_s), ("p95", a.p95, b.p95, limits.tail_s)]
    return [
        f"{name} latency: {one * 1e3:.2f} ms in A, {other * 1e3:.2f} ms in B"
        for name, one, other, limit_s in judged
        if one is not None and other is not None and limit_s is not None and abs(one - other) > limit_s
    ]


def _latency(exchanges: Sequence[Exchange]) -> Latency:
    taken = sorted(each.latency_ns * 1e-9 for each in exchanges if each.latency_ns is not None)
    if not taken:
        return Latency(median=None, p95=None, longest=None)
    return Latency(median=median(taken), p95=taken[-(-len(taken) * 95 // 100) - 1], longest=taken[-1])


def _gaps_s(conversation: Conversation) -> list[float]:
    return [each.gap_ns * 1e-9 for each in conversation.exchanges if each.gap_ns is not None]


def _violations(conversation: Conversation) -> int:
    rounding_s = 1e-6
    return sum(gap_s < conversation.bus.silence_s - rounding_s for gap_s in _gaps_s(conversation))


def _shortest_gap_s(conversation: Conversation) -> float | None:
    return min(_gaps_s(conversation), default=None)
