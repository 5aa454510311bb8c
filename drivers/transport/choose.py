"""The transport that a bus of the rig file needs."""

from drivers.rig import Bus, BusKind
from drivers.transport.serial_port import SerialTransport
from drivers.transport.tcp import TcpTransport
from drivers.transport.transport import Transport


def transport_for(bus: Bus) -> Transport:
    """Return an unconnected transport for that bus' kind and port.

    Raises:
        ValueError: a TCP port that is not "host:port".
    """
    if bus.kind is BusKind.SERIAL:
        return SerialTransport(bus.port, baud=bus.baud, data_format=bus.format)
    host, separator, port = bus.port.rpartition(":")
    if not separator or not port.isdecimal():
        raise ValueError(f'{bus.kind} wants port = "host:port", not "{bus.port}"')
    return TcpTransport(host.strip("[]"), int(port))
