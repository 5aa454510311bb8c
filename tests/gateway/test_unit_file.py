"""The systemd unit: valid where systemd can say so, and open for what the rig file names alone."""

import configparser
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from drivers.rig import Rig
from gateway.unit_file import Service, unit_file
from tests.commands import BENCH, call

SERVICE = Service(program="/opt/manovac/bin/manovac", rig_file="/etc/manovac/rig.toml")
TCP = {"kind": "modbus-tcp", "port": "192.0.2.7:502"}


def rig(buses: dict[str, object], **words: object) -> Rig:
    return Rig.model_validate({"station": {"id": "s", "gateway": "g"}, "segment": {"a": {}}, "bus": buses, **words})


def lines(words: Rig, service: Service = SERVICE) -> list[str]:
    return unit_file(words, service).splitlines()


def serial(port: str) -> dict[str, object]:
    return {"kind": "serial", "port": port}


def test_it_is_watched_started_again_and_has_no_way_to_more_rights() -> None:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[method-assign,assignment]
    parser.read_string(unit_file(rig({"b": TCP}), SERVICE))
    unit = parser["Service"]
    assert unit["ExecStart"] == "/opt/manovac/bin/manovac run /etc/manovac/rig.toml"
    assert {"Type": "notify", "WatchdogSec": "30", "Restart": "on-failure"}.items() <= dict(unit).items()
    hardened = {"NoNewPrivileges": "yes", "ProtectSystem": "strict", "DynamicUser": "yes", "CapabilityBoundingSet": ""}
    assert hardened.items() <= dict(unit).items()
    assert "adjtimex" in unit["SystemCallFilter"], "or it cannot tell whether its clock is synchronised"
    assert "ProtectClock" not in unit


@pytest.mark.parametrize(
    ("ports", "devices"),
    [
        ([], ["PrivateDevices=yes"]),
        (["/dev/ttyAMA0"], ["DevicePolicy=closed", "DeviceAllow=char-ttyAMA rw", "SupplementaryGroups=dialout"]),
        (
            ["/dev/ttyUSB0", "/dev/ttyUSB1", "/dev/ttyACM0"],
            [
                *("DevicePolicy=closed", "DeviceAllow=char-ttyUSB rw", "DeviceAllow=char-ttyACM rw"),
                "SupplementaryGroups=dialout",
            ],
        ),
    ],
)
def test_only_the_kinds_of_ports_that_the_rig_names_are_open(ports: list[str], devices: list[str]) -> None:
    found = lines(rig({"t": TCP} | {f"b{place}": serial(port) for place, port in enumerate(ports)}))
    assert [line for line in found if line.startswith(("Device", "PrivateDevices", "Supplementary"))] == devices


def test_the_kernel_has_the_class_before_the_service_begins() -> None:
    """Or systemd would know nothing to open, and an adapter that is plugged in later would stay closed."""
    assert "After=network-online.target modprobe@usbserial.service" in lines(rig({"b": serial("/dev/ttyUSB0")}))
    assert "Wants=network-online.target" in lines(rig({"b": serial("/dev/ttyAMA0")}))


def test_a_port_of_another_name_may_be_any_serial_port() -> None:
    found = lines(rig({"b": serial("/dev/serial/by-id/usb-FTDI_A5")}))
    assert len([line for line in found if line.startswith("DeviceAllow=char-tty")]) == 4


def test_secrets_of_the_rig_file_are_handed_over_and_its_journal_can_be_written() -> None:
    mqtt = {
        "url": "mqtts://broker.example",
        "ca_file": "/etc/manovac/ca.crt",
        "client_cert": "/etc/manovac/pi1.crt",
        "client_key": "/run/credentials/manovac.service/key",
        "username": "g",
        "password": {"credential": "mqtt"},
    }
    http = {"token": {"credential": "tok"}}
    found = lines(rig({"b": TCP}, mqtt=mqtt, http=http, journal={"path": "/mnt/ssd/manovac/j.sqlite"}))
    assert [line for line in found if line.startswith(("LoadCredential", "ReadWritePaths"))] == [
        "LoadCredential=mqtt:/etc/manovac/mqtt",
        "LoadCredential=tok:/etc/manovac/tok",
        "LoadCredential=key:/etc/manovac/key",
        "ReadWritePaths=/mnt/ssd/manovac",
    ]


def test_paths_are_quoted_or_refused() -> None:
    odd = Service(program="/opt/my manovac/bin/manovac", rig_file="/etc/100%/$rig.toml", user="pi")
    found = lines(rig({"b": TCP}), odd)
    assert 'ExecStart="/opt/my manovac/bin/manovac" run /etc/100%%/$$rig.toml' in found
    assert "User=pi" in found
    with pytest.raises(ValueError, match="plain path"):
        unit_file(rig({"b": TCP}), Service(program="/opt/a\nUser=root", rig_file="/x"))


def test_the_command_prints_what_systemd_takes(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, require_program: Callable[[str], str]
) -> None:
    called = call(capsys, "service", BENCH)
    assert called.code == 0
    assert "systemctl daemon-reload" in called.err
    path = tmp_path / "manovac.service"
    path.write_text(called.out)
    command = [require_program("systemd-analyze"), "verify", "--man=no", path]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (said.returncode, said.stderr) == (0, "")


@pytest.mark.parametrize(
    ("words", "says"),
    [(("nowhere.toml",), "no such file"), ((BENCH, "--user", "a b"), "not the name of a user")],
)
def test_what_cannot_be_is_refused(capsys: pytest.CaptureFixture[str], words: tuple[str, ...], says: str) -> None:
    called = call(capsys, "service", *words)
    assert called.code == 2
    assert says in called.err


def test_a_program_in_somebodys_home_stays_readable() -> None:
    service = Service(program="/home/pi/.venv/bin/manovac", rig_file="/etc/manovac/rig.toml")
    assert service.at_home
    assert "ProtectHome=read-only" in lines(rig({"b": TCP}), service)


def test_a_rig_file_below_tmp_is_not_there_for_the_service(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert Service(program="/opt/manovac/bin/manovac", rig_file="/tmp/rig.toml").in_tmp
    assert not SERVICE.in_tmp
    path = tmp_path / "rig.toml"
    path.write_text(BENCH.read_text())
    assert str(tmp_path).startswith("/tmp/") is ("PrivateTmp" in call(capsys, "service", path).err)
