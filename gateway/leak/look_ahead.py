"""A good plan for a tree with too many connected parts to solve: one step of look-ahead over a rule, with a bound.

The rule closes the hatch that tells most about the leak for its time (bits of information a second). The look-ahead
tries the most promising hatches of a part, follows the rule behind each and takes the best: never worse than the rule.

The bound. A plan that can name every segment closes each hatch once, in some part that holds at least its two ends; so
its time is at least the sum over hatches of P(either end) x (closing time + wait between the two ends alone), since a
wait grows with the volumes. And it asks at least as many questions as the prior has bits (Shannon), none cheaper than
the cheapest.
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from gateway.leak.aim import Aim
from gateway.leak.tree import Array, Tree

_TRIED: Final = 8  # hatches of a part that the look-ahead tries
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
        self._first = np.array([[side >> index & 1 for index in range(len(tree.segments))] for side in tree.first_side])
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
        waiting, total = [part], 0.0
        begun = part
        while waiting:
            part = waiting.pop()
            if part in self._massed_s:
                total += self._massed_s[part]
            elif part & (part - 1):
                hatches, cost_s, score = self._weighed(part)
                chosen = int(np.argmax(score))
                side = self._tree.first_side[hatches[chosen]]
                total += self._mass(part) * cost_s[chosen]
                waiting += [part & side, part & ~side]
        self._massed_s[begun] = total
        return total

    def _weighed(self, part: int) -> tuple[list[int], Array, Array]:
        """Return the hatches of a part, what each costs (s), and the bits a second that it tells."""
        member = np.array([part >> index & 1 for index in range(len(self._tree.segments))], dtype=bool)
        hatches = hatches_of(self._tree, part)
        one = self._first[hatches].astype(bool) & member
        other = ~self._first[hatches].astype(bool) & member
        wait_s = self._aim.wait_s(one @ self._tree.volume_m3, other @ self._tree.volume_m3)
        cost_s = np.minimum(self._tree.close_s[hatches] + wait_s, _NEVER_S)
        share = (one @ self._tree.prior) / max(self._mass(part), _LITTLE)
        return hatches, cost_s, (_bits(share) + _LITTLE) / (cost_s + _LITTLE)

    def _mass(self, part: int) -> float:
        return float(sum(each for index, each in enumerate(self._tree.prior) if part >> index & 1))


def _bits(share: Array) -> Array:
    """Return the information of a yes-or-no answer with these odds."""
    inside = np.clip(share, _LITTLE, 1 - _LITTLE)
    return -inside * np.log2(inside) - (1 - inside) * np.log2(1 - inside)


def _bound_s(tree: Tree, aim: Aim) -> float:
    one, other = np.array(tree.ends).T
    least_s = tree.close_s + aim.wait_s(tree.volume_m3[one], tree.volume_m3[other])
    possible = tree.prior[tree.prior > 0]
    bits = -float(possible @ np.log2(possible))
    return max(float(least_s @ (tree.prior[one] + tree.prior[other])), float(least_s.min()) * bits)
