"""A good plan for a tree with too many connected parts to solve: one step of look-ahead over a rule, with a bound.

The rule closes the hatch that tells most about the leak for its time (bits of information a second). The look-ahead
tries the most promising hatches of a part, follows the rule behind each and takes the best: never worse than the rule.

The bound. A plan that can name every segment closes each hatch once, and its expected time is the sum over hatches of
P(part in which it is closed) x (closing time + wait). Look at some of the hatches only, a smaller tree: both factors
are no larger there, since probabilities add up and a wait grows with the volumes. So the best plan of the smaller tree,
times its probability, bounds what these hatches cost in any plan; and such bounds of trees that share no hatch add up.
"""

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from gateway.leak import lattice
from gateway.leak.aim import Aim
from gateway.leak.tree import Array, Passage, Tree, forest

_TRIED: Final = 8  # hatches of a part that the look-ahead tries
_PIECE_PARTS: Final = 20_000  # connected parts of a smaller tree that is solved for the bound
_NEVER_S: Final = 1e12
_LITTLE: Final = 1e-12


def hatches_of(tree: Tree, part: int) -> list[int]:
    """Return the hatches with both ends in a part."""
    return [hatch for hatch, (one, other) in enumerate(tree.ends) if part >> one & 1 and part >> other & 1]


def solve(tree: Tree, aim: Aim) -> tuple[Callable[[int], int], float]:
    """Return the hatch to close for any part (as bits), and a time that no plan for the whole can beat, s."""
    rule = _Rule(tree, aim)
    return rule.improved, _bound_s(tree, aim)


class _Rule:
    def __init__(self, tree: Tree, aim: Aim) -> None:
        self._tree = tree
        self._aim = aim
        self._first = np.array([self._member(side) for side in tree.first_side])
        self._massed_s: dict[int, float] = {}

    def improved(self, part: int) -> int:
        """Return the hatch that is best when the rule is followed after it."""
        hatches, cost_s, score = self._weighed(part)
        mass = self._mass(part)
        promising = np.argsort(-score, kind="stable")[:_TRIED]
        totals = []
        for index in promising:
            side = self._tree.first_side[hatches[index]]
            totals.append(mass * cost_s[index] + self._follow(part & side) + self._follow(part & ~side))
        return hatches[int(promising[int(np.argmin(totals))])]

    def _follow(self, part: int) -> float:
        """Return the rule's expected time x probability for a part."""
        if part & (part - 1) == 0:
            return 0.0
        if part not in self._massed_s:
            hatches, cost_s, score = self._weighed(part)
            chosen = int(np.argmax(score))
            side = self._tree.first_side[hatches[chosen]]
            now = self._mass(part) * float(cost_s[chosen])
            self._massed_s[part] = now + self._follow(part & side) + self._follow(part & ~side)
        return self._massed_s[part]

    def _weighed(self, part: int) -> tuple[list[int], Array, Array]:
        """Return the hatches of a part, what each costs (s), and the bits a second that it tells."""
        member = self._member(part)
        hatches = hatches_of(self._tree, part)
        one = self._first[hatches] & member
        other = ~self._first[hatches] & member
        wait_s = self._aim.wait_s(one @ self._tree.volume_m3, other @ self._tree.volume_m3)
        cost_s = np.minimum(self._tree.close_s[hatches] + wait_s, _NEVER_S)
        share = (one @ self._tree.prior) / max(self._mass(part), _LITTLE)
        return hatches, cost_s, (_bits(share) + _LITTLE) / (cost_s + _LITTLE)

    def _mass(self, part: int) -> float:
        return float(self._member(part) @ self._tree.prior)

    def _member(self, part: int) -> npt.NDArray[np.bool_]:
        return np.array([part >> index & 1 for index in range(len(self._tree.segments))], dtype=np.bool_)


def _bits(share: Array) -> Array:
    """Return the information of a yes-or-no answer with these odds."""
    inside = np.clip(share, _LITTLE, 1 - _LITTLE)
    return -inside * np.log2(inside) - (1 - inside) * np.log2(1 - inside)


def _bound_s(tree: Tree, aim: Aim) -> float:
    total_s = 0.0
    volume_m3 = dict(zip(tree.segments, tree.volume_m3.tolist(), strict=True))
    prior = dict(zip(tree.segments, tree.prior.tolist(), strict=True))
    left = list(tree.passages)
    while left:
        piece, left = _piece(left, volume_m3, prior)
        mass = sum(prior[name] for name in piece.segments)
        total_s += mass * lattice.solve(piece, aim)[1]
    return total_s


def _piece(passages: list[Passage], volume_m3: dict[str, float], prior: dict[str, float]) -> tuple[Tree, list[Passage]]:
    """Return a tree of some of these hatches, few enough to be solved, and the other hatches."""
    taken, waiting, refused = passages[:1], passages[1:], []
    tree = _tree(taken, volume_m3, prior)
    while touching := [each for each in waiting if set(each.ends) & set(tree.segments)]:
        waiting.remove(touching[0])
        larger = _tree([*taken, touching[0]], volume_m3, prior)
        if lattice.count(larger) <= _PIECE_PARTS:
            taken, tree = [*taken, touching[0]], larger
        else:
            refused.append(touching[0])
    return tree, waiting + refused


def _tree(passages: list[Passage], volume_m3: dict[str, float], prior: dict[str, float]) -> Tree:
    names = list(dict.fromkeys(end for each in passages for end in each.ends))
    weights = {name: prior[name] for name in names}
    likely = weights if any(weights.values()) else dict.fromkeys(names, 1.0)
    return forest({name: volume_m3[name] for name in names}, likely, passages).trees[0]
