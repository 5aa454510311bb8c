import itertools
import weakref
from collections import deque
from dataclasses import dataclass
from functools import partial
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.snapshot import Snapshot, SnapshotError


class Slotted:
    __slots__ = ("later", "value")

    def __init__(self, value):
        self.value = value


class Below(Slotted):
    __slots__ = ("__own",)

    def __init__(self, value):
        super().__init__(value)
        self.__own = [value]

    def grow(self):
        self.__own.append(self.value)

    @property
    def own(self):
        return self.__own


@dataclass(frozen=True)
class Frozen:
    inside: list


class Thing:
    pass


def kept(**roots):
    return Snapshot(roots)


def test_everything_comes_back_in_the_same_objects():
    thing = Thing()
    thing.list, thing.dict, thing.set = [1, [2]], {"a": [1]}, {1, 2}
    thing.deque, thing.bytes, thing.array = deque([1, 2], maxlen=3), bytearray(b"ab"), np.array([1.0, 2.0])
    thing.slotted, thing.below = Slotted(1), Below(1)
    inner = thing.list[1]
    snapshot = kept(thing=thing)
    for _ in range(2):
        inner.append(3)
        thing.dict["a"].append(2)
        thing.dict["b"] = thing.new = 1
        thing.set.add(3)
        thing.deque.extend([3, 4])
        thing.bytes += b"c"
        thing.array[0] = 9.0
        thing.slotted.value = thing.slotted.later = 5
        thing.below.grow()
        thing.list = "gone"
        snapshot.put_back()
        assert thing.list[1] is inner
        assert (thing.list, thing.dict, thing.set) == ([1, [2]], {"a": [1]}, {1, 2})
        assert (list(thing.deque), thing.deque.maxlen, thing.bytes) == ([1, 2], 3, b"ab")
        assert thing.array.tolist() == [1.0, 2.0]
        assert (thing.slotted.value, thing.below.own) == (1, [1])
        assert not hasattr(thing, "new")
        assert not hasattr(thing.slotted, "later")


def test_random_numbers_come_again():
    random, generator = Random(1), np.random.default_rng(1)
    snapshot = kept(random=random, generator=generator)
    first = [random.gauss(), random.randbytes(3), generator.standard_normal(3).tolist()]
    snapshot.put_back()
    assert [random.gauss(), random.randbytes(3), generator.standard_normal(3).tolist()] == first


def test_it_follows_closures_methods_partials_and_frozen_things():
    hidden, bound, given_, frozen = [1], Below(1), [1], Frozen(inside=[1])

    def closure():
        return hidden

    snapshot = kept(things=(closure, bound.grow, partial(print, given_), frozen, given_.append))
    hidden.append(2)
    bound.grow()
    given_.append(2)
    frozen.inside.append(2)
    snapshot.put_back()
    assert (hidden, bound.own, given_, frozen.inside) == ([1], [1], [1], [1])


def test_what_is_only_remembered_weakly_comes_back_too():
    key, other = Thing(), Thing()
    key.count = 1
    weak = weakref.WeakKeyDictionary({key: 1})
    snapshot = kept(weak=weak)
    key.count = weak[key] = 2
    weak[other] = 3
    snapshot.put_back()
    assert (dict(weak), key.count) == ({key: 1}, 1)


def test_what_refers_to_itself_ends():
    ring = []
    ring.append(ring)
    snapshot = kept(ring=ring)
    ring.append(1)
    snapshot.put_back()
    assert ring[0] is ring
    assert len(ring) == 1


def test_what_cannot_be_kept_is_named_with_the_way_to_it():
    thing = Thing()
    thing.parts = {"n": [0, iter([1, 2])]}
    with pytest.raises(SnapshotError, match=r"^world\.parts\['n'\]\[1\] is a builtins\.list_iterator, whose state"):
        kept(world=thing)


def test_an_order_goes_on():
    thing = Thing()
    thing.order = itertools.count()
    snapshot = kept(thing=thing)
    assert next(thing.order) == 0
    snapshot.put_back()
    assert next(thing.order) == 1


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner, max_size=4),
    )
)
def test_any_nested_thing_is_put_back(nested):
    before = repr(nested)

    def spoil(thing):
        for each in list(thing.values() if isinstance(thing, dict) else thing):
            if isinstance(each, list | dict):
                spoil(each)
        thing.clear()

    box = [nested]
    snapshot = kept(box=box)
    spoil(box)
    snapshot.put_back()
    assert repr(box[0]) == before
