import ssl

import pytest

from drivers.rig_gateway import Mqtt
from gateway.mqtt.broker import MqttSettingsError, broker


def of(**words):
    return broker(Mqtt.model_validate(words))


def test_ports_default_by_scheme():
    assert (of(url="mqtt://station").host, of(url="mqtt://station").port) == ("station", 1883)
    assert of(url="mqtts://station").port == 8883
    assert of(url="mqtt://[::1]:1999").host == "::1"
    assert of(url="mqtt://[::1]:1999").port == 1999


def test_plain_connections_have_no_tls_and_tls_always_verifies():
    assert of(url="mqtt://station").tls is None
    tls = of(url="mqtts://station").tls
    assert tls is not None
    assert tls.verify_mode is ssl.CERT_REQUIRED
    assert tls.check_hostname
    assert tls.minimum_version >= ssl.TLSVersion.TLSv1_2


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"url": "mqtt://"}, "host:port"),
        ({"url": "mqtt://a:99999"}, "mqtt.url"),
        ({"more_urls": ["mqtt://a", "mqtt://pi1:planted@a"]}, "mqtt.more_urls: no user in it"),
        ({"more_urls": ["mqtts://a"]}, "mqtt.more_urls: mixes"),
        ({"url": "mqtt://a/path"}, "nothing behind it"),
        ({"url": "mqtt://pi1:planted@a"}, "mqtt.username"),
        ({"url": "mqtt://a..b"}, "name of a host"),
        ({"url": "mqtts://a", "ca_file": "/nowhere/ca.crt"}, "/nowhere/ca.crt"),
        ({"url": "mqtt://a", "ca_file": "ca.crt"}, "mqtts://"),
        ({"password": {"env": "MANOVAC_TEST_UNSET"}}, "MANOVAC_TEST_UNSET is not set"),
        ({"password": {"file": "/nowhere/password"}}, "/nowhere/password"),
        ({"password": {}}, "name the one place where it stands"),
    ],
)
def test_what_cannot_be_used_is_said_at_once(words, says):
    with pytest.raises(MqttSettingsError, match=says) as raised:
        of(**words)
    assert "planted" not in str(raised.value)


def test_a_certificate_file_without_certificates_is_said(tmp_path):
    (tmp_path / "ca.crt").write_text("no certificate")
    with pytest.raises(MqttSettingsError, match=r"ca\.crt"):
        of(url="mqtts://a", ca_file=str(tmp_path / "ca.crt"))


def test_passwords_come_from_environment_file_or_rig_and_never_show(tmp_path, monkeypatch):
    monkeypatch.setenv("MANOVAC_TEST_PASSWORD", "planted secret ")
    assert of(password={"env": "MANOVAC_TEST_PASSWORD"}).password == "planted secret "
    (tmp_path / "password").write_text("planted secret\n")
    (tmp_path / "password").chmod(0o600)
    found = of(password={"file": str(tmp_path / "password")})
    assert found.password == "planted secret"
    assert "planted" not in repr(found)
    assert of(password="planted").password == "planted"
    assert of().password is None
