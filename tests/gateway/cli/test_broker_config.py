"""`manovac broker-config`: what it writes where, and what it says (test_access.py tries the files)."""

from pathlib import Path

import pytest

from tests.commands import call
from tests.gateway.three_gateways import OPTIONS, RIG, rig_files


@pytest.fixture
def rigs(tmp_path):
    return rig_files(tmp_path, port=8884, certificates=Path("/etc/manovac"))


def test_it_prints_what_it_would_write(rigs, capsys, tmp_path):
    printed = call(capsys, "broker-config", *rigs, *OPTIONS)
    assert printed.code == 0
    call(capsys, "broker-config", *rigs, *OPTIONS, "--to", tmp_path)
    conf, acl = ((tmp_path / name).read_text() for name in ("manovac.conf", "manovac.acl"))
    expected = f"# ---- manovac.conf\n{conf}\n# ---- manovac.acl\n{acl}"
    assert printed.out == expected.replace(str(tmp_path), "/etc/mosquitto/conf.d")


def test_it_writes_over_its_own_files_and_over_nobody_elses(rigs, capsys, tmp_path):
    for options in ((), ("--viewer", "eyes")):
        assert call(capsys, "broker-config", *rigs, "--to", tmp_path, *options).code == 0
    assert "user eyes" in (tmp_path / "manovac.acl").read_text()
    (tmp_path / "manovac.acl").write_text("user mine\n")
    called = call(capsys, "broker-config", *rigs, "--to", tmp_path)
    assert (called.code, (tmp_path / "manovac.acl").read_text()) == (1, "user mine\n")
    assert "is there, and not from this command" in called.err
    assert "user eyes" not in (tmp_path / "manovac.conf").read_text()


def test_nothing_else_in_the_folder_is_touched(rigs, capsys, tmp_path):
    to = tmp_path / "conf.d"
    to.mkdir()
    (to / "manovac.conf.new").write_text("mine\n")
    (to / "manovac.acl.new").symlink_to(tmp_path / "elsewhere")
    assert call(capsys, "broker-config", *rigs, "--to", to).code == 0
    assert (to / "manovac.conf.new").read_text() == "mine\n"
    assert not (tmp_path / "elsewhere").exists()
    names = {"manovac.conf.new", "manovac.acl.new", "manovac.conf", "manovac.acl"}
    assert {path.name for path in to.iterdir()} == names
    (to / "manovac.acl").unlink()
    (to / "manovac.acl").mkdir()
    assert call(capsys, "broker-config", *rigs, "--to", to).code == 1
    assert {path.name for path in to.iterdir()} == names


def test_one_gateway_has_one_rig_file_and_a_segment_of_two_gateways_is_said(rigs, capsys):
    text = rigs[0].read_text()
    rigs[1].write_text(text.replace("[mqtt]", '[mqtt]\nusername = "other"'))
    called = call(capsys, "broker-config", *rigs)
    assert (called.code, called.out) == (2, "")
    assert "two rig files are of gateway pi1 of station iss" in called.err
    rigs[1].write_text(text.replace("pi1", "pi2"))
    called = call(capsys, "broker-config", *rigs)
    assert called.code == 0
    assert "iss/prk is in the rig files of pi1 and pi2: each of them may write its readings" in called.err


def test_a_rig_without_tls_is_told_what_its_gateway_needs(capsys, tmp_path):
    rig = tmp_path / "rig.toml"
    rig.write_text(RIG.partition("[mqtt]")[0].format(station="iss", gateway="pi1", segment="prk", bob="[]"))
    called = call(capsys, "broker-config", rig)
    assert called.code == 0
    assert "listener 8883 127.0.0.1" in called.out
    assert "client_key of a certificate whose common name is pi1" in called.err
    assert "listens on 127.0.0.1 only" in called.err


def test_a_broker_that_is_looked_for_elsewhere_listens_to_the_network(capsys, rigs):
    for rig in rigs:
        rig.write_text(rig.read_text().replace("127.0.0.1", "broker.example"))
    called = call(capsys, "broker-config", *rigs)
    assert "\nlistener " in called.out
    assert "127.0.0.1" not in called.out
    assert '  listen: "0.0.0.0:' in call(capsys, "broker-config", *rigs, "--broker", "nats").out


def test_several_addresses_are_the_servers_of_a_nats_cluster(capsys, rigs, tmp_path):
    for rig, first in zip(rigs, "123", strict=True):
        others = [f'"mqtts://127.9.9.{number}:8884"' for number in "123" if number != first]
        urls = f'"mqtts://127.9.9.{first}:8884"\nmore_urls = [{", ".join(others)}]'
        rig.write_text(rig.read_text().replace('"mqtts://127.0.0.1:8884"', urls))
    called = call(capsys, "broker-config", *rigs, "--broker", "nats", "--to", tmp_path)
    assert called.code == 0, called.err
    for number in "123":
        text = (tmp_path / f"manovac.127.9.9.{number}.nats.conf").read_text()
        assert f'server_name: "127.9.9.{number}"' in text
        assert f'  listen: "127.9.9.{number}:8884"' in text
        assert f'  listen: "127.9.9.{number}:6222"' in text
        assert text.count("tls://127.9.9.") == 3
        assert f'store_dir: "/var/lib/nats/127.9.9.{number}"' in text
        assert text.count("verify: true") == 1, "servers prove themselves to each other"
    called = call(capsys, "broker-config", *rigs)
    assert called.code == 2
    assert "a cluster needs --broker nats" in called.err


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        ((), 2, "Missing argument 'RIG...'"),
        (("nowhere.toml",), 2, "nowhere.toml: error: no such file"),
        (("{rig}", "--broker", "amqtt"), 2, "'amqtt' is not one of"),
        (("{rig}", "--to", "/nowhere/at/all"), 1, "/nowhere/at/all: no such folder"),
        (("{rig}", "{rig}"), 2, "'pi1' is gateway pi1 of station iss and gateway pi1 of station iss"),
        (("{rig}", "--viewer", "pi1"), 2, "each needs a certificate of its own name"),
        (("{rig}", "--viewer", "a\nuser root"), 2, "cannot be the name of a user"),
        (("{rig}", "--consumer", "Store"), 2, "becomes a topic level"),
        (("{rig}", "--certificates", "/a\nb"), 2, "cannot stand in a broker's settings"),
        (("{rig}", "--broker", "nats", "--revocations"), 2, "NATS knows no list of revocations"),
        (("{rig}", "{other}"), 2, "mqtt.url have different ports"),
    ],
)
def test_what_cannot_be_is_said(capsys, rigs, tmp_path, words, code, says):
    other = tmp_path / "other.toml"
    other.write_text(rigs[1].read_text().replace("127.0.0.1:", "127.0.0.1:1"))
    filled = [{"{rig}": rigs[0], "{other}": other}.get(word, word) for word in words]
    called = call(capsys, "broker-config", *filled)
    assert called.code == code
    assert says in called.err
