"""Alarms go through ISA-18.2's states, and only through them."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.alarms import (
    LONGEST_ON_SHELF_S,
    Alarm,
    Alarms,
    AlarmState,
    Condition,
    Priority,
    UnknownAlarmError,
)

LEAK = Condition(id="leak-prk", priority=Priority.CRITICAL, cause="leak", segment="prk")


def states(alarms):
    return [alarm.state.value for alarm in alarms]


def test_acknowledged_while_it_is_there():
    alarms = Alarms()
    assert states(alarms.update(LEAK, there=True, now_s=10.0, since_s=4.0)) == ["unacknowledged"]
    assert alarms.acknowledge("leak-prk", 12.0).state is AlarmState.ACKNOWLEDGED
    (cleared,) = alarms.update(LEAK, there=False, now_s=20.0)
    assert (cleared.state, cleared.on_s, cleared.changed_s) == (AlarmState.CLEARED, 4.0, 20.0)
    assert alarms.standing == ()


def test_gone_before_anybody_saw_it():
    alarms = Alarms()
    alarms.update(LEAK, there=True, now_s=10.0)
    assert states(alarms.update(LEAK, there=False, now_s=11.0)) == ["returned"]
    assert [alarm.state for alarm in alarms.standing] == [AlarmState.RETURNED], "it waits to be seen"
    assert states(alarms.update(LEAK, there=True, now_s=12.0)) == ["unacknowledged"]
    alarms.update(LEAK, there=False, now_s=13.0)
    assert alarms.acknowledge("leak-prk", 14.0).state is AlarmState.CLEARED
    assert alarms.standing == ()


def test_what_is_acknowledged_stays_so_while_its_value_moves():
    alarms = Alarms()
    alarms.update(LEAK, there=True, now_s=0.0, value=1.0)
    alarms.acknowledge("leak-prk", 1.0)
    (moved,) = alarms.update(LEAK, there=True, now_s=2.0, value=1.5)
    assert (moved.state, moved.value, moved.changed_s) == (AlarmState.ACKNOWLEDGED, 1.5, 1.0)
    assert alarms.update(LEAK, there=True, now_s=3.0, value=1.5) == ()


def test_delays_need_an_unbroken_time():
    slow = Condition(id="a", priority=Priority.ADVICE, cause="x", on_delay_s=5.0, off_delay_s=10.0)
    alarms = Alarms()
    assert alarms.update(slow, there=True, now_s=0.0) == ()
    assert alarms.update(slow, there=False, now_s=3.0) == ()
    assert alarms.update(slow, there=True, now_s=4.0) == ()
    assert alarms.update(slow, there=True, now_s=8.0) == ()
    assert states(alarms.update(slow, there=True, now_s=9.0)) == ["unacknowledged"]
    assert alarms.update(slow, there=False, now_s=10.0) == ()
    assert alarms.update(slow, there=False, now_s=19.9) == ()
    assert states(alarms.update(slow, there=False, now_s=20.0)) == ["returned"]


def test_a_value_within_the_deadband_does_not_chatter():
    rate = Condition(id="a", priority=Priority.WARNING, cause="x", limit=1.0, deadband=0.2)
    alarms = Alarms()
    assert alarms.update(rate, there=False, now_s=0.0, value=0.9) == (), "below the limit it does not come"
    alarms.update(rate, there=True, now_s=1.0, value=1.1)
    assert states(alarms.update(rate, there=False, now_s=2.0, value=0.9)) == ["unacknowledged"]
    assert states(alarms.update(rate, there=False, now_s=3.0, value=0.79)) == ["returned"]


def test_to_acknowledge_what_does_not_stand_is_an_error_that_names_what_does():
    alarms = Alarms()
    with pytest.raises(UnknownAlarmError, match="none does"):
        alarms.acknowledge("leak-prk", 0.0)
    alarms.update(LEAK, there=True, now_s=0.0)
    with pytest.raises(UnknownAlarmError, match="there are: leak-prk"):
        alarms.acknowledge("leak-zvezda", 1.0)


@given(st.lists(st.sampled_from(["there", "gone", "acknowledge"]), max_size=30))
def test_whatever_happens_each_state_follows_from_the_one_before(deeds):
    after = {
        None: {"unacknowledged"},
        "unacknowledged": {"unacknowledged", "acknowledged", "returned"},
        "acknowledged": {"acknowledged", "cleared"},
        "returned": {"unacknowledged", "cleared"},
    }
    alarms, before = Alarms(), None
    for number, deed in enumerate(deeds):
        if deed == "acknowledge":
            if before is None:
                with pytest.raises(UnknownAlarmError):
                    alarms.acknowledge("leak-prk", number)
                continue
            changed = (alarms.acknowledge("leak-prk", number),)
        else:
            changed = alarms.update(LEAK, there=deed == "there", now_s=number)
        for alarm in changed:
            assert alarm.state.value in after[before]
            before = None if alarm.state is AlarmState.CLEARED else alarm.state.value
        assert [alarm.state.value for alarm in alarms.standing] == ([] if before is None else [before])


def shelved(until_s=100.0):
    alarms = Alarms()
    alarms.update(LEAK, there=True, now_s=0.0)
    alarm = alarms.shelve(LEAK.id, until_s, 1.0)
    assert (alarm.state, alarm.shelved_until_s) == (AlarmState.SHELVED, until_s)
    return alarms


def test_a_shelved_alarm_says_nothing_even_when_it_goes_and_comes():
    alarms = shelved()
    assert alarms.update(LEAK, there=True, now_s=2.0, value=5.0) == ()
    assert [each.state for each in alarms.update(LEAK, there=False, now_s=3.0)] == [AlarmState.CLEARED]
    assert [each.state for each in alarms.update(LEAK, there=True, now_s=4.0)] == [AlarmState.SHELVED]
    assert alarms.unshelve(99.0) == ()
    (back,) = alarms.unshelve(100.0)
    assert (back.state, back.shelved_until_s) == (AlarmState.UNACKNOWLEDGED, None)
    assert alarms.unshelve(101.0) == ()


def test_after_its_time_on_the_shelf_an_alarm_comes_as_any_other():
    alarms = shelved()
    alarms.update(LEAK, there=False, now_s=3.0)
    assert alarms.unshelve(100.0) == ()
    assert [each.state for each in alarms.update(LEAK, there=True, now_s=101.0)] == [AlarmState.UNACKNOWLEDGED]


def test_acknowledging_takes_an_alarm_from_the_shelf():
    alarms = shelved()
    assert alarms.acknowledge(LEAK.id, 2.0).state is AlarmState.ACKNOWLEDGED
    assert alarms.unshelve(200.0) == ()
    alarms.update(LEAK, there=False, now_s=3.0)
    assert [each.state for each in alarms.update(LEAK, there=True, now_s=4.0)] == [AlarmState.UNACKNOWLEDGED]


def test_an_alarm_that_takes_anothers_place_is_shelved_as_long():
    alarms = shelved()
    other = replace(LEAK, id="leak-station")
    _, alarm = alarms.update(other, there=True, now_s=5.0, instead_of=LEAK.id)[:2]
    assert (alarm.condition.id, alarm.state, alarm.shelved_until_s) == ("leak-station", AlarmState.SHELVED, 100.0)
    (back,) = alarms.unshelve(100.0)
    assert back.condition.id == "leak-station"


def test_what_is_over_is_acknowledged_not_shelved():
    alarms = Alarms()
    alarms.update(LEAK, there=True, now_s=0.0)
    alarms.update(LEAK, there=False, now_s=1.0)
    with pytest.raises(UnknownAlarmError, match="is over: acknowledge it instead"):
        alarms.shelve(LEAK.id, 100.0, 2.0)


def kept(state: AlarmState) -> Alarms:
    """Return alarms with one from before a restart, which stands until 100 s if nobody sees it."""
    alarms = Alarms()
    alarms.restore(Alarm(condition=LEAK, state=state, on_s=-50.0, changed_s=-40.0, value=1.0), 100.0, now_s=0.0)
    return alarms


def test_one_from_before_a_restart_stands_until_it_has_not_been_seen_for_long_enough():
    alarms = kept(AlarmState.UNACKNOWLEDGED)
    assert alarms.update(LEAK, there=False, now_s=10.0) == ()
    assert alarms.lapse(99.0) == ()
    assert [alarm.state for alarm in alarms.standing] == [AlarmState.UNACKNOWLEDGED]
    (gone,) = alarms.lapse(100.0)
    assert (gone.state, gone.on_s) == (AlarmState.RETURNED, -50.0)
    assert alarms.lapse(200.0) == ()


def test_one_from_before_that_is_seen_again_is_as_any_other():
    alarms = kept(AlarmState.ACKNOWLEDGED)
    (seen,) = alarms.update(LEAK, there=True, now_s=10.0, value=2.0)
    assert (seen.state, seen.value) == (AlarmState.ACKNOWLEDGED, 2.0)
    (gone,) = alarms.update(LEAK, there=False, now_s=20.0)
    assert gone.state is AlarmState.CLEARED
    assert alarms.lapse(100.0) == ()


def test_one_from_before_that_had_gone_waits_to_be_acknowledged():
    alarms = kept(AlarmState.RETURNED)
    assert alarms.lapse(100.0) == ()
    assert alarms.acknowledge("leak-prk", 110.0).state is AlarmState.CLEARED


def restored(until_s: float, *, on_s: float = -50.0) -> Alarms:
    """Return alarms with a shelved one from before a restart, its times by the wall clock; it is 0 s."""
    alarm = Alarm(
        condition=LEAK,
        state=AlarmState.SHELVED,
        on_s=on_s,
        changed_s=-40.0,
        value=1.0,
        shelved_until_s=until_s,
        stamped_s=frozenset({on_s, -40.0, until_s}),
    )
    alarms = Alarms()
    alarms.restore(alarm, 86_400.0, now_s=0.0)
    return alarms


def test_one_from_before_moves_with_the_clock_by_which_its_times_were_known():
    alarms = restored(100.0)
    alarms.move(-30.0)
    (alarm,) = alarms.standing
    assert (alarm.on_s, alarm.changed_s, alarm.shelved_until_s) == (-80.0, -70.0, 70.0)
    assert alarms.unshelve(69.0) == ()
    assert states(alarms.unshelve(71.0)) == ["unacknowledged"]
    after_reload = Alarms()
    after_reload.restore(alarms.standing[0], 86_400.0, now_s=80.0)
    after_reload.move(-5.0)
    (alarm,) = after_reload.standing
    assert (alarm.on_s, alarm.changed_s) == (-85.0, 71.0), "when it was back is no time of before"


def test_what_happened_since_does_not_move():
    alarms = restored(100.0)
    alarms.update(LEAK, there=True, now_s=5.0, since_s=4.0)
    alarms.shelve(LEAK.id, 200.0, 6.0)
    alarms.move(-30.0)
    (alarm,) = alarms.standing
    assert (alarm.on_s, alarm.changed_s, alarm.shelved_until_s) == (4.0, 6.0, 200.0)
    assert alarms.unshelve(199.0) == ()


def test_the_rest_of_its_time_on_the_shelf_moves_though_it_went_or_has_another_name():
    alarms = restored(100.0)
    alarms.update(LEAK, there=True, now_s=1.0)
    alarms.update(LEAK, there=False, now_s=2.0)
    alarms.update(LEAK, there=True, now_s=3.0)
    alarms.update(replace(LEAK, id="leak-station"), there=True, now_s=4.0, instead_of=LEAK.id)
    alarms.move(-30.0)
    (alarm,) = alarms.standing
    assert (alarm.on_s, alarm.shelved_until_s) == (3.0, 70.0)
    assert states(alarms.unshelve(70.0)) == ["unacknowledged"]


def test_a_wrong_clock_shelves_nothing_for_longer_than_anybody_may():
    alarms = restored(1.7e9)
    assert alarms.standing[0].shelved_until_s == 1.7e9, "what was said is not changed: the clock may yet come right"
    assert alarms.unshelve(LONGEST_ON_SHELF_S - 1.0) == ()
    assert states(alarms.unshelve(LONGEST_ON_SHELF_S)) == ["unacknowledged"]
    alarms.update(LEAK, there=False, now_s=30_000.0)
    assert states(alarms.update(LEAK, there=True, now_s=30_001.0)) == ["unacknowledged"]
