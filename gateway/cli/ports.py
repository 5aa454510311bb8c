"""`manovac ports`: the serial ports of this machine, by names that stay, and what is wrong with them."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from drivers.transport.ports import SerialPort


def ports(*, as_json: Annotated[bool, typer.Option("--json", help="For machines.")] = False) -> None:
    """List serial ports: a name for the rig file, driver, USB serial number, latency timer, permission, holder."""
    from drivers.transport.ports import serial_ports  # noqa: PLC0415 - the work is imported when the command runs

    found = serial_ports()
    if as_json:
        typer.echo(_json(found))
        return
    if not found:
        typer.echo("no serial ports: plug in an adapter; `dmesg | tail` shows whether the kernel sees it", err=True)
    typer.echo("\n\n".join(_told(port) for port in found), nl=bool(found))


def _told(port: "SerialPort") -> str:
    latency = "" if port.latency_ms is None else f", latency timer {port.latency_ms} ms"
    number = f", serial number {port.serial_number}" if port.serial_number else ", no serial number"
    facts = {
        "device": port.path,
        "by id": port.by_id,
        "by path": port.by_path,
        "driver": port.driver and port.driver + latency,
        "usb": port.usb and f"{port.usb} {port.description}{number}",
    }
    rows = [f"  {name:8} {fact}" for name, fact in facts.items() if fact and fact != port.best_name]
    return "\n".join([port.best_name, *rows, *(f"  ! {remark}" for remark in port.remarks)])


def _json(found: "list[SerialPort]") -> str:
    import orjson  # noqa: PLC0415

    rows = [
        {"name": port.best_name}
        | {field: getattr(port, field) for field in port.__dataclass_fields__}
        | {"remarks": port.remarks}
        for port in found
    ]
    return orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode()
