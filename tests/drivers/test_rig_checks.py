"""What one table of a rig file says must fit the others and the transducer models."""

import datetime as dt
import json
from dataclasses import dataclass, replace

import pytest
from pydantic import BaseModel, ConfigDict

from drivers.line_use import exchange_s, line_use
from drivers.model import Model
from drivers.rig import Bus, BusKind, Rig
from drivers.rig_problems import Severity
from drivers.rig_schema import rig_schema
from drivers.rig_source import Checked, check_file, check_rig

TODAY = dt.date(2026, 6, 1)


@dataclass(frozen=True, kw_only=True)
class FakeRequest:
    unit: int = 1
    frame: bytes = bytes(8)
    answer_size: int = 12
    processing_s: float = 0.0


@dataclass(frozen=True)
class FakeDriver:
    requests: tuple = (FakeRequest(),)
    channels: tuple = ()
    fences: tuple = ()


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")
    filter: int = 1


def fake_model(name: str, **changes) -> Model:
    words = {
        "title": name,
        "kinds": frozenset({BusKind.SERIAL, BusKind.RTU_OVER_TCP}),
        "bauds": frozenset({9600, 19200}),
        "formats": frozenset({"8N1"}),
        "units": range(1, 250),
        "quantities": ("pressure", "temperature"),
        "span": (0.0, 1e6),
        "driver": lambda unit, transducers, bus: FakeDriver(),
    }
    return Model(name=name, **(words | changes))


def refuse(unit, transducers, bus):
    raise ValueError("an odd register")


ALL_KINDS = frozenset(BusKind)
MODELS = {
    model.name: model
    for model in (
        fake_model("digital", takes=frozenset({"serial_number"}), options=Options),
        fake_model("inputs", kinds=ALL_KINDS, needs=frozenset({"channel", "range"}), shares_unit=True),
        fake_model("map", kinds=ALL_KINDS, span=None, needs=frozenset({"map"}), shares_unit=True),
        fake_model("text", kinds=frozenset({BusKind.LINE_OVER_TCP, BusKind.SERIAL}), formats=frozenset({"7E1"})),
        fake_model("quick", bauds=frozenset({19200})),
        fake_model("odd", driver=refuse),
        fake_model("lone", alone=True),
    )
}


def find(name: str) -> Model:
    if name == "broken":
        raise ImportError("No module named 'x'")
    if name not in MODELS:
        raise LookupError(f"unknown model '{name}'")
    return MODELS[name]


STATION = '[station]\nid = "s"\ngateway = "g"\n[segment.a]\n'
BUS = '[bus.b]\nkind = "serial"\nport = "/dev/b"\n'


def transducer(name: str = "p1", **words: object) -> str:
    words = {"model": "digital", "bus": "b", "segment": "a"} | words
    rows = [f'{key} = "{value}"' if isinstance(value, str) else f"{key} = {value}" for key, value in words.items()]
    return "\n".join([f"[transducer.{name}]", *rows, ""])


def check(*parts: str, private: bool = False) -> Checked:
    return check_rig("".join([STATION, *parts]), "rig.toml", models=find, today=TODAY, private=private)


def only(checked: Checked) -> str:
    (problem,) = checked.problems
    assert checked.rig is None or problem.severity is Severity.WARNING
    shown = problem.source[problem.column - 1 :][: problem.width]
    return f"{shown}: {problem.message}"


def test_a_rig_that_fits_has_no_problem():
    assert check(BUS, transducer()).problems == ()


def test_a_device_without_an_address_shares_its_line_with_nobody():
    said = only(check(BUS, transducer(model="lone"), transducer("p2", unit=2)))
    assert said.endswith("lone has no address, but 'p2' (line 12) is on bus 'b' too")
    assert check(BUS, transducer(model="lone")).problems == ()


def test_an_instrument_in_datagrams_has_a_port_number_and_neither_baud_nor_format():
    bus = '[bus.b]\nkind = "line-over-udp"\nport = "adam"\nbaud = 300\nformat = "7E1"\n'
    words = transducer(model="inputs", channel=1, range="0..100 kPa")
    (problem,) = check(bus, words).problems
    assert (problem.message, problem.advice) == ("port: needs a port number", 'write "adam:1025"')
    assert check(bus.replace('"adam"', '"adam:1025"'), words).problems == ()


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((BUS, transducer(segment="b")), "\"b\": no segment named 'b'"),
        ((BUS.replace("bus.b", "bus.aft"), transducer(bus="atf")), "\"atf\": no bus named 'atf', did you mean 'aft'?"),
        ((BUS, transducer(model="digitl")), "\"digitl\": unknown model 'digitl'"),
        ((BUS, transducer(model="broken")), "\"broken\": model 'broken' cannot be loaded: No module named 'x'"),
        ((BUS, transducer(unit=0)), "0: unit 0 is no address of digital: it can have 1..249"),
        (
            (BUS, transducer(range="0..2 MPa")),
            '"0..2 MPa": digital cannot measure that range: its widest is 0..1000 kPa',
        ),
        ((BUS, transducer(channel=1)), "channel: digital has no use for 'channel'"),
        ((BUS, transducer(options="no")), "options: 'options' must be a table"),
        ((BUS, transducer() + "options.filtr = 1\n"), "1: unknown option 'filtr', did you mean 'filter'?"),
        ((BUS + "baud = 19200\n", transducer(model="quick") + "options.a = 1\n"), "options: quick has no options"),
        ((BUS, transducer(model="inputs", channel=1)), "[transducer.p1]: inputs needs 'range'"),
        ((BUS, transducer(model="map")), "[transducer.p1]: map needs 'map'"),
        ((BUS, transducer(model="text")), "[bus.b]: text cannot speak 8N1, which is the default of format"),
        ((BUS + "baud = 9600\n", transducer(model="quick")), "9600: quick cannot speak 9600"),
        ((BUS + 'format = "8E1"\n', transducer()), '"8E1": digital cannot speak 8E1'),
        (
            (BUS, transducer(), transducer("p2", model="text", unit=2)),
            "[bus.b]: no format suits all transducers of this line (digital: 8N1; text: 7E1)",
        ),
        (
            (BUS.replace("serial", "modbus-tcp").replace("/dev/b", "192.0.2.1:502"), transducer()),
            '"b": digital cannot be on bus \'b\' of kind "modbus-tcp": it needs "serial" or "rtu-over-tcp"',
        ),
        (
            (BUS.replace("/dev/b", "192.0.2.1:502"), transducer()),
            "\"192.0.2.1:502\": '192.0.2.1:502' is a network address",
        ),
        (
            (BUS.replace("serial", "rtu-over-tcp").replace("/dev/b", "pi"), transducer()),
            '"pi": port: needs a port number',
        ),
        (
            (BUS.replace("serial", "rtu-over-tcp").replace("/dev/b", "pi:99999"), transducer()),
            '"pi:99999": port: 99999 is no port number: they go from 1 to 65535',
        ),
        ((BUS.replace("serial", "rtu-over-tcp"), transducer()), "\"/dev/b\": port: '/dev/b' is not host:port"),
        ((BUS, transducer(), transducer("p2")), "[transducer.p2]: unit 1 of bus 'b' is 'p1' (line 8) already"),
        ((BUS, transducer(), '[bus.c]\nkind = "serial"\nport = "/dev/c"\n'), "[bus.c]: bus 'c' has no transducer"),
        ((BUS, transducer(), "[segment.c]\n"), "[segment.c]: segment 'c' has no transducer"),
        (
            (BUS, transducer(), '[segment.c]\nvolume = "1 m3"\n', transducer("p2", unit=2, segment="c")),
            "[segment.a]: segment 'a' has no volume",
        ),
        ((BUS, transducer(model="odd")), "[bus.b]: the polls of bus 'b' cannot be planned: an odd register"),
        (
            (BUS, transducer(), '[[hatch]]\nbetween = ["a", "a"]\n'),
            '["a", "a"]: a hatch joins two different segments',
        ),
        (
            (BUS, transducer(), '[[hatch]]\nbetween = ["a", "aa"]\n'),
            "\"aa\": no segment named 'aa'",
        ),
        (
            (BUS.replace("/dev/b", "/dev/ttyS0") + 'format = "7E1"\n', transducer(model="text")),
            '"/dev/ttyS0": /dev/ttyS0 of a Raspberry Pi is its mini-UART, which cannot do parity (7E1)',
        ),
        (
            (BUS, transducer() + "calibration = { due = 2026-05-31 }\n"),
            "2026-05-31: calibration was due 1 days ago",
        ),
        (
            (BUS, transducer() + "calibration = { date = 2026-05-31, due = 2025-05-31 }\n"),
            "2025-05-31: calibration: due before its date, 2026-05-31",
        ),
        (
            (BUS, transducer() + 'calibration = { polynomial = [0.0], table = [["0 Pa", "0 Pa"]] }\n'),
            "table: calibration: give either polynomial or table",
        ),
        (
            (BUS, transducer(), '[mqtt]\npassword = "x"\n'),
            "password: a literal password in a file that others can read",
        ),
        ((BUS, transducer(), "[mqtt]\npassword = {}\n"), "...: password: give either env, file or credential"),
    ],
)
def test_what_does_not_fit_is_said_once_and_where_it_stands(parts, message):
    assert only(check(*parts)).startswith(message)


def test_calibration_due_today_is_no_warning():
    assert check(BUS, transducer() + "calibration = { due = 2026-06-01 }\n").problems == ()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ('url = "mqtt://b"\nca_file = "ca.crt"', "...: ca_file: means nothing without TLS"),
        ('url = "mqtt://b"\nclient_key = "a.key"', "...: client_key: means nothing without TLS"),
        ('url = "mqtts://b"\nclient_cert = "a.crt"', "...: client_cert: needs client_key"),
        ('url = "mqtts://b"\nclient_key = "a.key"', "...: client_key: needs client_cert"),
        ('url = "mqtt://b:0"', "...: url: its port must be a number from 1 to 65535"),
        ('url = "mqtt://[::1"', "...: url: is not a url"),
        ('more_urls = ["mqtt://b/x"]', "...: more_urls: needs a host and nothing else"),
        (
            'url = "mqtts://a"\nmore_urls = ["mqtt://b"]',
            "...: more_urls: mixes mqtt:// and mqtts://",
        ),
        ("[http]\ntoken = {}", "...: token: write { env = "),
        ('[http]\ntoken = "planted"', "...: token: write { env = "),
        ("[http]\nport = 70000", "...: port: "),
        ('[http]\nlisten = "localhost"', "...: listen: must be an IP address"),
        ('url = "mqtt://b/x"', "...: url: needs a host and nothing else"),
        (
            'url = "mqtt://b"\npassword = { env = "A" }',
            "...: the password crosses the network in clear",
        ),
        (
            'password = { credential = "../a" }',
            ": credential: is the name of a credential, not a path",
        ),
        (
            "client_key = '-----BEGIN PRIVATE KEY-----'\nurl = 'mqtts://b'\nclient_cert = 'a'",
            "...: client_key: is a path",
        ),
        ('url = "mqtts://b"\nca_file = """a\nb"""', "...: ca_file: is a path, not what stands in the file"),
        ('[http]\nnames = ["a b"]', ": names: are names"),
    ],
)
def test_words_of_mqtt_that_do_not_fit_are_said_where_they_stand(words, message):
    assert only(check(BUS, transducer(), f"[mqtt]\n{words}\n")).startswith(message)


@pytest.mark.parametrize(
    "host",
    [
        """[::1%"; listen: "0.0.0.0:1899"; no_auth_user: "cn=g"; js_domain: "]""", '[::1%"a]', "[::1%]",
        'a"b', 'x"; deny {', "..", "a..b", "a b", "a\nb", "a;b", "*", "a${X}", "a{b}", "a\\b", "\u2028", "bröker",
        "a" * 64,
    ],
)  # fmt: skip
@pytest.mark.parametrize("key", ["url", "more_urls"])
def test_the_name_of_a_host_can_stand_in_any_file_of_settings(host, key):
    def checked(host):
        url = json.dumps(f"mqtts://{host}", ensure_ascii=False)
        words = f"url = {url}" if key == "url" else f'url = "mqtts://a"\nmore_urls = [{url}]'
        return check(BUS, transducer(), f"[mqtt]\n{words}\n")

    assert only(checked(host)).startswith(f"...: {key}: ")
    for good in ("broker.example", "my_broker", "192.0.2.7", "[2001:db8::7]", "[fe80::1%eth0]", "broker."):
        assert not checked(good).problems


def test_files_of_tls_that_are_not_there_are_a_warning_each(tmp_path):
    (tmp_path / "ca.crt").touch()
    words = (
        f'[mqtt]\nurl = "mqtts://b"\nca_file = "{tmp_path}/ca.crt"\nclient_cert = "{tmp_path}/no.crt"\n'
        'client_key = "/run/credentials/manovac.service/key"\n'
    )
    path = tmp_path / "rig.toml"
    path.write_text(STATION + BUS + transducer() + words)
    checked = check_file(path, models=find, today=TODAY)
    assert checked.rig is not None
    assert only(checked).startswith("...: client_cert: no such file on this machine")


def test_a_password_to_this_machine_or_over_tls_is_no_warning():
    for url in ("mqtt://127.0.0.1", "mqtt://localhost", "mqtt://[::1]", "mqtts://b"):
        words = f'[mqtt]\nurl = "{url}"\npassword = {{ credential = "mqtt.password" }}\n'
        assert check(BUS, transducer(), words).problems == ()


def test_a_literal_password_may_stand_in_a_private_file(tmp_path):
    text = STATION + BUS + transducer() + '[mqtt]\npassword = "x"\n'
    path = tmp_path / "rig.toml"
    path.write_text(text)
    path.chmod(0o600)
    assert check_file(path, models=find, today=TODAY).problems == ()
    path.chmod(0o640)
    assert "chmod 600" in check_file(path, models=find, today=TODAY).problems[0].advice


def test_two_buses_on_one_port():
    parts = (BUS, BUS.replace("bus.b", "bus.c"), transducer(), transducer("p2", bus="c"))
    assert only(check(*parts)).startswith("\"/dev/b\": bus 'b' (line 7) has this port already")


def test_the_same_hatch_twice_whichever_way():
    hatches = '[[hatch]]\nbetween = ["a", "c"]\n[[hatch]]\nbetween = ["c", "a"]\n[segment.c]\n'
    message = only(check(BUS, transducer(), transducer("p2", unit=2, segment="c"), hatches))
    assert message == '["c", "a"]: this hatch is in line 18 already'


def test_another_model_cannot_have_the_same_unit():
    parts = (BUS + "baud = 19200\n", transducer(), transducer("p2", model="quick", unit=1))
    assert "unit 1 of bus 'b' is a digital already: 'p1'" in only(check(*parts))


def test_transducers_share_a_unit_on_different_inputs_only():
    words = {"model": "inputs", "range": "0..1 bar"}
    first, second = transducer("p1", channel=1, **words), transducer("p2", channel=2, **words)
    assert check(BUS, first, second).problems == ()
    third = transducer("p3", channel=1, **words)
    assert only(check(BUS, first, second, third)).startswith("1: channel 1 of unit 1 is 'p1'")


def mapped(name: str, address: int) -> str:
    return transducer(name, model="map") + f'map.pressure = {{ address = {address}, unit = "kPa" }}\n'


def test_transducers_share_a_unit_on_different_registers_only():
    assert check(BUS, mapped("p1", 0), mapped("p2", 2)).problems == ()
    assert only(check(BUS, mapped("p1", 0), mapped("p2", 0))).startswith("0: register 0 of unit 1 is 'p1'")


@pytest.mark.parametrize(
    ("register", "message"),
    [
        ('presure = { address = 0, unit = "kPa" }', "presure: map has no quantity 'presure', did you mean 'pressure'?"),
        ('pressure = { address = 0, unit = "C" }', "\"C\": unit: 'C' is a unit of temperature, not of pressure"),
        ('pressure = { address = 65535, unit = "kPa" }', "65535: a float32 does not fit there"),
        ('pressure = { address = 0, unit = "kPa", valid = [2, 1] }', "[2, 1]: valid: the first number must be below"),
    ],
)
def test_a_register_must_make_sense(register, message):
    assert only(check(BUS, transducer(model="map") + f"map = {{ {register} }}\n")).startswith(message)


def test_a_wrong_key_elsewhere_hides_no_reference_error():
    checked = check(BUS + "baud = true\n", transducer(segment="x", poll=1))
    assert [problem.message.split(":")[0] for problem in checked.problems] == ["baud", "no segment named 'x'", "poll"]


def test_a_table_that_is_itself_wrong_is_not_missed_by_those_that_name_it():
    text = STATION.replace("[segment.a]", "segment = 3") + BUS + transducer()
    checked = check_rig(text.replace("segment = 3", "", 1) + "[segmnt.a]\n", "rig.toml", models=find, today=TODAY)
    assert only(checked) == "[segmnt.a]: unknown key 'segmnt', did you mean 'segment'?"


def poll_all(period: str, count: int) -> str:
    return "".join(transducer(f"p{unit}", unit=unit, poll=period) for unit in range(1, count + 1))


def test_line_use_is_the_time_of_characters_silences_and_the_device():
    bus = Bus(kind=BusKind.SERIAL, port="/dev/b", baud=9600, guard="1 ms")
    # 20 characters of 10 bits at 9600 baud, twice 3.5 characters, guard, 5 ms for the device, and its own 2 ms.
    assert exchange_s(FakeRequest(processing_s=0.002), bus) == pytest.approx(27 * 10 / 9600 + 0.001 + 0.005 + 0.002)
    tcp = bus.model_copy(update={"kind": BusKind.MODBUS_TCP, "window": 5})
    assert exchange_s(FakeRequest(), tcp) == pytest.approx(0.001)


def test_line_use_of_a_rig_adds_up_its_units():
    checked = check(BUS, poll_all("500 ms", 10))
    exchange = 27 * 10 / 9600 + 0.005
    use = line_use(checked.rig, find)["b"]
    assert use == checked.lines["b"]
    assert use.poll_s == pytest.approx(dict.fromkeys(range(1, 11), exchange))
    assert use.fraction == pytest.approx(10 * exchange / 0.5)
    assert use.headroom_per_s == pytest.approx((0.8 - use.fraction) / exchange)
    assert use.room == "room for 4 more at 1 Hz"
    assert replace(use, fraction=0.1).room == "room for 140 more at 1 Hz or 14 at 10 Hz"
    assert replace(use, fraction=0.79).room == "no room for more"


def test_a_shared_unit_is_polled_as_often_as_its_most_frequent_transducer():
    words = {"model": "inputs", "range": "0..1 bar"}
    parts = (transducer("p1", channel=1, poll="2 s", **words), transducer("p2", channel=2, poll="1 s", **words))
    assert check(BUS, *parts).lines["b"].period_s == {1: 1.0}


def test_polls_that_the_line_cannot_carry_are_an_error_with_what_would_fit():
    checked = check(BUS, poll_all("100 ms", 4))
    assert only(checked) == "[bus.b]: the polls need 132% of bus 'b': 40 polls a second of 33 ms"
    assert checked.problems[0].advice == 'what would fit: poll = "0.17 s", or baud = 19200 (76%), or a second bus'
    assert check(BUS, poll_all("170 ms", 4)).problems == ()
    assert check(BUS + "baud = 19200\n", poll_all("100 ms", 4)).problems == ()


def test_a_line_that_is_nearly_full_is_a_warning():
    checked = check(BUS, poll_all("150 ms", 4))
    assert only(checked).startswith("[bus.b]: the polls need 88% of bus 'b', which leaves little for repeats")
    assert isinstance(checked.rig, Rig)
    assert checked.lines["b"].headroom_per_s == 0.0


LOOP = '[coolant.radiator]\nvolume = "44 L"\ngas_volume = "6 L"\npressure = "304 kPa"\n'


def on_loop(**words: object) -> str:
    return transducer("c1", unit=2, coolant="radiator", **words).replace('segment = "a"\n', "")


def test_a_transducer_may_measure_a_coolant_loop():
    checked = check(BUS, transducer(), LOOP, on_loop())
    assert checked.problems == ()
    words = checked.rig.transducers["c1"]
    assert (words.segment, words.coolant) == ("radiator", "radiator")  # a loop is a level of topics like a segment
    assert checked.rig.place("c1") is checked.rig.coolants["radiator"]
    assert checked.rig.place("p1") is checked.rig.segments["a"]
    assert checked.rig.coolants["radiator"].expansion == pytest.approx(0.0012)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((LOOP, on_loop().replace("radiator", "radiatr")), "no coolant named 'radiatr', did you mean 'radiator'?"),
        ((LOOP, on_loop().replace('"radiator"', "3")), "coolant: must be a text"),
        ((LOOP, on_loop() + 'segment = "a"\n'), "c1: give either segment or coolant"),
        ((LOOP, on_loop().replace('coolant = "radiator"\n', "")), "missing key 'segment'"),
        ((LOOP.replace("gas_volume", "gas_volum"), on_loop()), "unknown key 'gas_volum', did you mean 'gas_volume'?"),
        ((LOOP.replace('gas_volume = "6 L"\n', ""), on_loop()), "missing key 'gas_volume'"),
        ((LOOP.replace("44 L", "44"), on_loop()), 'volume: needs a unit: write "44 m3"'),
        ((LOOP + 'stroke = "50 L"\n', on_loop()), "stroke: the spring cannot press out more liquid than there is"),
        (
            (LOOP.replace("radiator", "a"), on_loop().replace("radiator", "a")),
            "a segment is called 'a' already (line 4)",
        ),
        ((LOOP,), "coolant 'radiator' has no transducer"),
    ],
)
def test_what_is_wrong_with_a_loop_is_said_once_where_it_is(parts, message):
    said = [
        problem for problem in check(BUS, transducer(), *parts).problems if "has no transducer" not in problem.message
    ]
    (problem,) = said or check(BUS, transducer(), *parts).problems
    assert message in problem.message
    assert problem.line > 7


def test_an_editor_is_told_that_a_transducer_has_one_of_the_two():
    schema = rig_schema()
    assert schema["$defs"]["Transducer"]["oneOf"] == [{"required": ["segment"]}, {"required": ["coolant"]}]
    assert schema["$defs"]["Coolant"]["required"] == ["volume", "gas_volume", "pressure"]
    assert schema["$defs"]["Coolant"]["properties"]["expansion"]["default"] == "0.0012 1/K"
