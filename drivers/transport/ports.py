"""The serial ports of this machine, with stable names, who holds them, and what would slow them down (Linux)."""

import grp
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from serial.tools import list_ports

SLOW_LATENCY_MS: Final = 16
"""The FTDI driver's default: it hands on a short answer only after this time."""

_LATENCY_RULE: Final = 'ACTION=="add", SUBSYSTEM=="usb-serial", DRIVER=="ftdi_sio", ATTR{latency_timer}="1"'


@dataclass(frozen=True, slots=True, kw_only=True)
class SerialPort:
    """One serial port.

    Attributes:
        path: the device, such as /dev/ttyUSB0; may be another after the next start.
        by_id, by_path: links that stay: by the adapter's own identity, by the socket it is plugged into; None without.
        driver: kernel driver, such as "ftdi_sio".
        usb: vendor and product number, such as "0403:6001"; None when it is not on USB.
        serial_number: of the USB adapter; cheap ones have none.
        lookalike: another adapter here cannot be told apart from it, except by its socket.
        latency_ms: FTDI's latency timer.
        permitted: this user may read and write it.
        group: the group to join for it.
        holders: processes that have it open, as (pid, name); only those that this user may see.
    """

    path: str
    by_id: str | None
    by_path: str | None
    driver: str | None
    description: str
    usb: str | None
    serial_number: str | None
    lookalike: bool
    latency_ms: int | None
    permitted: bool
    group: str
    holders: tuple[tuple[int, str], ...]

    @property
    def best_name(self) -> str:
        """The name for a rig file: one that stays the same and means one port."""
        first, second = (self.by_path, self.by_id) if self.lookalike else (self.by_id, self.by_path)
        return first or second or self.path

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is wrong with it, each with what to do."""
        remarks = []
        if not self.permitted:
            advice = f"sudo usermod -aG {self.group} $USER, then log in again"
            remarks.append(f"no permission to open it: {advice}")
        if self.holders:
            who = ", ".join(f"{name} (pid {pid})" for pid, name in self.holders)
            remarks.append(f"in use by {who}: a line has one owner, end it first")
        if self.latency_ms is not None and self.latency_ms >= SLOW_LATENCY_MS:
            remarks.append(
                f"latency timer {self.latency_ms} ms: every answer comes that late. Now: "
                f"echo 1 | sudo tee /sys/class/tty/{Path(self.path).name}/device/latency_timer; for good: put "
                f"'{_LATENCY_RULE}' into /etc/udev/rules.d/60-ftdi-latency.rules and plug it in again"
            )
        if self.lookalike:
            remarks.append("no USB serial number and another adapter looks the same: name it by its socket (by-path)")
        return tuple(remarks)


def serial_ports(
    *,
    dev: Path = Path("/dev"),
    sys: Path = Path("/sys"),
    proc: Path = Path("/proc"),
    comports: Callable[[], Iterable[Any]] = list_ports.comports,
) -> list[SerialPort]:
    """Return the serial ports in the order of their names.

    Args:
        dev: where the device files are.
        sys: where sysfs is mounted.
        proc: where procfs is mounted.
        comports: pyserial's list of ports.
    """
    found = sorted(comports(), key=lambda info: str(info.device))
    holders = _holders(proc)
    return [
        SerialPort(
            path=info.device,
            by_id=_link(dev / "serial" / "by-id", info.device),
            by_path=_link(dev / "serial" / "by-path", info.device),
            driver=_driver(sys, info.name),
            description=info.description,
            usb=_usb(info),
            serial_number=info.serial_number,
            lookalike=not info.serial_number and [_usb(each) for each in found].count(_usb(info) or "-") > 1,
            latency_ms=_latency_ms(sys, info.name),
            permitted=os.access(info.device, os.R_OK | os.W_OK),
            group=_group(Path(info.device)),
            holders=tuple(holders.get(os.path.realpath(info.device), ())),
        )
        for info in found
    ]


def _usb(info: Any) -> str | None:
    return None if info.vid is None else f"{info.vid:04x}:{info.pid:04x}"


def _link(folder: Path, device: str) -> str | None:
    links = sorted(folder.iterdir()) if folder.is_dir() else []
    target = os.path.realpath(device)
    return next((str(link) for link in links if os.path.realpath(link) == target), None)


def _driver(sys: Path, name: str) -> str | None:
    driver = sys / "class" / "tty" / name / "device" / "driver"
    return driver.resolve().name if driver.exists() else None


def _latency_ms(sys: Path, name: str) -> int | None:
    try:
        return int((sys / "class" / "tty" / name / "device" / "latency_timer").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _group(device: Path) -> str:
    try:
        name = grp.getgrgid(device.stat().st_gid).gr_name
    except (OSError, KeyError):
        return "dialout"
    return name if name != "root" else "dialout"  # nobody should join root for a serial port


def _holders(proc: Path) -> dict[str, list[tuple[int, str]]]:
    """Return device -> processes that have it open."""
    holders: dict[str, list[tuple[int, str]]] = {}
    for pid in sorted(int(entry.name) for entry in proc.iterdir() if entry.name.isdecimal()):
        for device in {*_open_devices(proc / str(pid) / "fd")}:
            holders.setdefault(device, []).append((pid, _name(proc / str(pid))))
    return holders


def _open_devices(descriptors: Path) -> Iterator[str]:
    try:
        links = list(descriptors.iterdir())
    except OSError:  # another user's process, or one that ended meanwhile
        return
    for link in links:
        try:
            target = str(link.readlink())
        except OSError:
            continue
        if "/tty" in target:
            yield os.path.realpath(target)


def _name(process: Path) -> str:
    try:
        return (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "?"
