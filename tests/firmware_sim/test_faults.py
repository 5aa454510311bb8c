import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.fault_kinds import KINDS, FaultError
from firmware_sim.faults import ArmedFault, Fault, Faults, parse_fault
from tests.firmware_sim.devices import MS, S


def faults(now_ns=lambda: 0, seed=1):
    return Faults(seed=seed, transducers=("sm_p1", "sm_p2"), buses=("aft",), now_ns=now_ns)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("silence:sm_p1", {"kind": "silence", "target": "sm_p1"}),
        (
            "late:sm_p1@10s+5s,delay=400ms",
            {"kind": "late", "target": "sm_p1", "after_ns": 10 * S, "for_ns": 5 * S, "parameters": {"delay": 400 * MS}},
        ),
        ("crc:*@+1.5s", {"kind": "crc", "target": "*", "for_ns": 1500 * MS}),
        ("crc:aft@#3", {"kind": "crc", "target": "aft", "nth": 3}),
        ("crc:aft@/10,count=2", {"kind": "crc", "target": "aft", "every": 10, "count": 2}),
        ("crc:aft@=01 04..0a@#2", {"kind": "crc", "target": "aft", "nth": 2, "request": "0104..0a"}),
        ("offset:aft,by=-2kPa", {"kind": "offset", "target": "aft", "parameters": {"by": -2000.0}}),
        ("intruder:aft,request=0A0b", {"kind": "intruder", "target": "aft", "parameters": {"request": b"\x0a\x0b"}}),
        ("crc:aft@2min@5%", {"kind": "crc", "target": "aft", "after_ns": 120 * S, "probability": 0.05}),
        (" noise : aft @ 1 s , before = 0 , after = 7 ", None),
    ],
)
def test_specs_say_what_the_grammar_says(spec, words):
    if words is None:
        words = {"kind": "noise", "target": "aft", "after_ns": S, "parameters": {"before": 0, "after": 7}}
    assert parse_fault(spec) == Fault(**words)


@pytest.mark.parametrize(
    ("spec", "complaint"),
    [
        ("", "write KIND:TARGET"),
        ("silence", "write KIND:TARGET"),
        ("silense:p1", "did you mean 'silence'"),
        ("late:p1,delay=400", 'write "400'),
        ("late:p1,dealy=4ms", "did you mean 'delay'"),
        ("late:p1,delay", "is not NAME=VALUE"),
        ("silence:p1,delay=4ms", "silence has no 'delay'"),
        ("truncate:p1,bytes=x", "'bytes=x' needs a whole number"),
        ("exception:p1,code=256", "not within 0..255"),
        ("crc:p1@10", "needs a unit"),
        ("crc:p1@", "is no condition"),
        ("crc:p1@1s+", "is no condition"),
        ("crc:p1@-1s", "before the start"),
        ("crc:p1@#0", "counted from 1"),
        ("crc:p1@/x", "needs a whole number"),
        ("crc:p1,count=0", "counted from 1"),
        ("crc:p1@0%", "a probability"),
        ("crc:p1@101%", "a probability"),
        ("stuck:p1@#3", "lasts for a time"),
        ("unplug:aft@5%", "lasts for a time"),
        ("reboot:p1@1s+2s", "at a moment"),
        ("silence:p1@=", "in hexadecimal"),
        ("silence:p1@=010", "in hexadecimal"),
        ("spike:p1@=01", "leave @=01 out"),
        ("babble:p1@=01", "lasts for a time"),
        ("babble:p1,every=0s", "is below 1.0ms"),
        ("baud:p1,baud=200", "not within 300..4000000"),
        ("skew:p1,speed=0%", "not within 1%..10000%"),
        ("offset:p1,by=20", "needs a unit"),
        ("intruder:aft,request=01x", "in hexadecimal"),
    ],
)
def test_a_wrong_spec_is_explained_with_an_example(spec, complaint):
    with pytest.raises(FaultError) as caught:
        parse_fault(spec)
    assert complaint in str(caught.value)
    assert f'fault "{spec}"' in str(caught.value)
    assert parse_fault(str(caught.value).rpartition("example: ")[2])


def _some_fault(kind):
    words = {
        "kind": st.just(kind),
        "target": st.sampled_from(["*", "aft", "sm_p1"]),
        "after_ns": st.integers(0, 10**15),
    }
    if KINDS[kind].when in {"requests", "measurements"}:
        words["for_ns"] = st.none() | st.integers(0, 10**15)
        words["count"] = st.none() | st.integers(1, 9)
    if KINDS[kind].when != "times":
        words["nth"] = st.none() | st.integers(1, 10**6)
        words["every"] = st.none() | st.integers(1, 10**6)
        words["probability"] = st.none() | st.sampled_from([0.05, 0.4, 1.0])
    if KINDS[kind].when in {"requests", "both"}:
        words["request"] = st.none() | st.lists(st.sampled_from(["..", "00", "a7"]), min_size=1).map("".join)
    numbers = {name: _some_value(each) for name, each in KINDS[kind].parameters.items()}
    words["parameters"] = st.fixed_dictionaries({}, optional=numbers)
    return st.builds(Fault, **words)


def percent(number):
    return number * 0.01


def _some_value(parameter):
    if isinstance(parameter.default, bytes):
        return st.binary(min_size=1, max_size=8)
    if parameter.dimension == "fraction":
        return st.integers(max(1, round(parameter.lowest * 100)), round(parameter.highest * 100)).map(percent)
    if parameter.dimension in {"", "time"}:
        return st.integers(parameter.lowest, int(min(parameter.highest, 10**12)))
    return st.floats(parameter.lowest, parameter.highest)


@given(fault=st.sampled_from(sorted(KINDS)).flatmap(_some_fault))
def test_a_fault_written_as_a_spec_is_the_same_fault(fault):
    assert parse_fault(str(fault)) == fault


def test_every_kind_has_its_line_for_help():
    assert all(kind.title and "\n" not in kind.title and len(kind.title) < 100 for kind in KINDS.values())


def test_an_unknown_target_is_refused_with_the_nearest_one():
    with pytest.raises(FaultError, match=r"did you mean 'sm_p[12]'"):
        faults().inject("silence:sm_p")


@pytest.mark.parametrize("kind", ["unplug", "rename", "bits", "intruder", "traffic"])
def test_what_strikes_line_or_port_has_a_bus_as_target(kind):
    with pytest.raises(FaultError, match="no bus 'sm_p1'"):
        faults().inject(f"{kind}:sm_p1")


def test_a_cable_is_cut_before_a_transducer():
    with pytest.raises(FaultError, match="no transducer 'aft'"):
        faults().inject("cut:aft")


def test_inject_list_clear():
    active = faults()
    changes = []
    active.changed = lambda what, armed: changes.append((what, armed.number, len(active.armed)))
    silence, late = active.inject("silence:sm_p1"), active.inject(Fault(kind="late", target="aft"))
    assert list(active) == [silence, late]
    assert len(active.armed) == 2
    active.clear(silence)
    assert list(active) == [late]
    active.clear()
    assert active.armed == []
    assert changes == [("injected", 1, 1), ("injected", 2, 2), ("cleared", 1, 1), ("cleared", 2, 0)]


def test_a_fault_is_taken_back_by_its_number_also_one_of_two_that_are_alike():
    active = faults()
    for _ in range(2):
        active.inject("silence:sm_p1")
    assert [armed.number for armed in active.armed] == [1, 2]
    assert active.clear_number(2) == parse_fault("silence:sm_p1")
    assert [armed.number for armed in active.armed] == [1]
    with pytest.raises(FaultError, match=r"no fault in force has the number 2 \(known: 1\)"):
        active.clear_number(2)
    active.clear_number(1)
    active.inject("silence:sm_p1")
    assert [armed.number for armed in active.armed] == [3]


def test_a_time_that_is_over_counts_as_now():
    active = faults(now_ns=lambda: 60 * S)
    active.inject("silence:sm_p1@10s+5s")
    (armed,) = active.on({"sm_p1"}, {"silence"})
    assert [armed.lasts(at * S) for at in (59, 60, 64, 65)] == [False, True, True, False]


def strikes(spec, requests=40, seed=1):
    armed = ArmedFault(parse_fault(spec), seed=seed, begin_ns=0)
    struck = []
    for number in range(1, requests + 1):
        if armed.would_strike():
            struck.append(number)
        armed.count_request()
    return struck


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("crc:*,count=3", [1, 2, 3]),
        ("crc:*@#7", [7]),
        ("crc:*@/15", [15, 30]),
        ("crc:*@/15,count=1", [15]),
        ("crc:*@/4@#8", [8]),
        ("crc:*@100%", list(range(1, 41))),
    ],
)
def test_request_conditions(spec, expected):
    assert strikes(spec) == expected


def test_chance_comes_from_the_seed_and_has_the_asked_rate():
    assert strikes("crc:*@20%") == strikes("crc:*@20%") != strikes("crc:*@20%", seed=2)
    assert 800 < len(strikes("crc:*@20%", requests=5000)) < 1200
