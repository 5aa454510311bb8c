"""Serial ports: names that stay, look-alikes, FTDI's latency, permission, holder."""

import json
import os
from types import SimpleNamespace

import pytest

from drivers.transport import ports as transport_ports
from drivers.transport.ports import serial_ports
from gateway import cli


class Machine:
    """A /dev, /sys and /proc of a machine with the adapters that are plugged in."""

    def __init__(self, root) -> None:
        self.dev, self.sys, self.proc = root / "dev", root / "sys", root / "proc"
        self.proc.mkdir()
        self.found = []

    def plug(
        self, name: str, *, serial_number: str | None, driver: str = "ftdi_sio", latency: int | None = None
    ) -> str:
        device = self.dev / name
        device.parent.mkdir(exist_ok=True)
        device.touch()
        maker = "FTDI" if driver == "ftdi_sio" else "1a86"
        self.link("by-id", f"usb-{maker}_{serial_number or 'Serial'}-if00-port0", device)
        self.link("by-path", f"platform-usb-0:{len(self.found) + 1}:1.0-port0", device)
        home = self.sys / "class" / "tty" / name / "device"
        home.mkdir(parents=True)
        (self.sys / "drivers" / driver).mkdir(parents=True, exist_ok=True)
        (home / "driver").symlink_to(self.sys / "drivers" / driver)
        if latency is not None:
            (home / "latency_timer").write_text(f"{latency}\n")
        info = SimpleNamespace(device=str(device), name=name, description=f"{maker} UART", serial_number=serial_number)
        info.vid, info.pid = (0x0403, 0x6001) if driver == "ftdi_sio" else (0x1A86, 0x7523)
        self.found.append(info)
        return str(device)

    def link(self, folder: str, name: str, device) -> None:
        link = self.dev / "serial" / folder / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)  # as udev does: of two with one name, the later wins
        link.symlink_to(device)

    def hold(self, pid: int, name: str, device: str) -> None:
        descriptors = self.proc / str(pid) / "fd"
        descriptors.mkdir(parents=True)
        (descriptors / "3").symlink_to(device)
        (self.proc / str(pid) / "comm").write_text(f"{name}\n")

    def ports(self):
        return serial_ports(dev=self.dev, sys=self.sys, proc=self.proc, comports=lambda: self.found)


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


def test_a_port_has_a_name_that_stays(machine):
    device = machine.plug("ttyUSB0", serial_number="A50285BI", latency=1)
    (port,) = machine.ports()
    assert port.path == device
    assert port.best_name == port.by_id == f"{machine.dev}/serial/by-id/usb-FTDI_A50285BI-if00-port0"
    assert (port.driver, port.usb, port.serial_number, port.latency_ms) == ("ftdi_sio", "0403:6001", "A50285BI", 1)
    assert port.remarks == ()


def test_a_slow_latency_timer_is_remarked_with_the_remedy(machine):
    machine.plug("ttyUSB0", serial_number="A", latency=16)
    (remark,) = machine.ports()[0].remarks
    assert remark.startswith("latency timer 16 ms")
    assert "/sys/class/tty/ttyUSB0/device/latency_timer" in remark
    assert "udev" in remark


def test_two_adapters_without_serial_number_are_named_by_their_socket(machine):
    machine.plug("ttyUSB0", serial_number=None, driver="ch341")
    machine.plug("ttyUSB1", serial_number=None, driver="ch341")
    machine.plug("ttyUSB2", serial_number="A")
    first, second, third = machine.ports()
    assert [port.lookalike for port in (first, second, third)] == [True, True, False]
    assert first.best_name == first.by_path != second.best_name == second.by_path
    assert "looks the same" in first.remarks[0]


def test_one_adapter_without_serial_number_is_no_lookalike(machine):
    machine.plug("ttyUSB0", serial_number=None, driver="ch341")
    assert not machine.ports()[0].lookalike


def test_the_holder_is_named(machine):
    device = machine.plug("ttyUSB0", serial_number="A")
    machine.hold(4711, "mbpoll", device)
    (port,) = machine.ports()
    assert port.holders == ((4711, "mbpoll"),)
    assert port.remarks == ("in use by mbpoll (pid 4711): a line has one owner, end it first",)


def test_a_port_that_may_not_be_opened_names_the_group(machine, monkeypatch):
    machine.plug("ttyUSB0", serial_number="A")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    monkeypatch.setattr(transport_ports, "_group", lambda device: "dialout")
    (remark,) = machine.ports()[0].remarks
    assert "usermod -aG dialout" in remark


def test_a_port_that_is_not_on_usb_is_listed(machine):
    machine.plug("ttyAMA0", serial_number=None, driver="uart-pl011")
    machine.found[0].vid = machine.found[0].pid = None
    (port,) = machine.ports()
    assert (port.usb, port.lookalike, port.driver) == (None, False, "uart-pl011")


def run(capsys, *args: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main(list(args))
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def test_the_command_tells_names_facts_and_remarks(machine, capsys, monkeypatch):
    machine.plug("ttyUSB0", serial_number="A", latency=16)
    listed = machine.ports()
    monkeypatch.setattr(transport_ports, "serial_ports", lambda: listed)
    code, out, err = run(capsys, "ports")
    assert (code, err) == (0, "")
    assert out.startswith(f"{listed[0].best_name}\n  device   {listed[0].path}\n")
    assert "  ! latency timer 16 ms" in out
    code, out, _ = run(capsys, "ports", "--json")
    (row,) = json.loads(out)
    assert (row["name"], row["latency_ms"], row["holders"]) == (listed[0].best_name, 16, [])


def test_no_port_is_talk_not_data(capsys, monkeypatch):
    monkeypatch.setattr(transport_ports, "serial_ports", list)
    code, out, err = run(capsys, "ports")
    assert (code, out) == (0, "")
    assert "no serial ports" in err
