"""Secrets: from where they stand, refused where others can read them."""

import os

import pytest

from drivers.rig_gateway import Secret
from gateway.mqtt.credentials import MqttSettingsError, check_private, secret

WHAT = "mqtt.password"


def planted(folder, *, mode=0o600, content=b"planted\n"):
    path = folder / "password"
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_a_systemd_credential_is_read_from_its_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    planted(tmp_path, mode=0o400)
    assert secret(Secret(credential="password"), WHAT) == "planted"


def test_a_file_that_others_can_use_is_refused_with_what_to_do(tmp_path):
    for mode in (0o604, 0o602, 0o620, 0o666, 0o644):
        path = planted(tmp_path, mode=mode)
        with pytest.raises(MqttSettingsError, match=f"others can use {path} .*chmod 6[04]0 {path}") as raised:
            secret(Secret(file=str(path)), WHAT)
        assert "planted" not in str(raised.value)


def test_a_group_may_read_what_belongs_to_root_and_nothing_else(tmp_path):
    found = list(planted(tmp_path, mode=0o640).stat())
    found[4] = 0  # st_uid
    check_private(tmp_path, os.stat_result(found), WHAT)
    found[4] = 1000
    with pytest.raises(MqttSettingsError, match="chmod 600"):
        check_private(tmp_path, os.stat_result(found), WHAT)
    found[0], found[4] = found[0] | 0o004, 0
    with pytest.raises(MqttSettingsError, match="chmod 640"):
        check_private(tmp_path, os.stat_result(found), WHAT)


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"\n", "is empty"), (b"\xff", "is not UTF-8"), (b"x" * 70_000, "is larger than 65536 bytes")],
)
def test_what_is_no_secret_is_said(tmp_path, content, says):
    with pytest.raises(MqttSettingsError, match=says):
        secret(Secret(file=str(planted(tmp_path, content=content))), WHAT)


def test_a_pipe_does_not_hold_up_the_start(tmp_path):
    os.mkfifo(tmp_path / "pipe", 0o600)
    with pytest.raises(MqttSettingsError, match="is not a file"):
        secret(Secret(file=str(tmp_path / "pipe")), WHAT)


def test_an_empty_variable_is_no_secret(monkeypatch):
    monkeypatch.setenv("MANOVAC_TEST_PASSWORD", "")
    with pytest.raises(MqttSettingsError, match="the environment variable MANOVAC_TEST_PASSWORD is empty"):
        secret(Secret(env="MANOVAC_TEST_PASSWORD"), WHAT)


def test_a_credential_that_is_not_there_says_what_the_service_needs(tmp_path, monkeypatch):
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(MqttSettingsError, match=r"CREDENTIALS_DIRECTORY is not set.*LoadCredential=mqtt:"):
        secret(Secret(credential="mqtt"), WHAT)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    with pytest.raises(MqttSettingsError, match="no systemd credential 'mqtt' in"):
        secret(Secret(credential="mqtt"), WHAT)


def test_a_secret_stands_in_one_place():
    for words in ({}, {"env": "A", "credential": "b"}, {"file": "a", "credential": "b"}):
        with pytest.raises(MqttSettingsError, match="name the one place where it stands"):
            secret(Secret.model_validate(words), WHAT)
