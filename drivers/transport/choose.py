"""The transport that a bus of the rig file needs."""

from drivers.rig import Bus, BusKind
from drivers.transport.tcp import TcpTransport
from drivers.transport.transport import Transport
from drivers.transport.udp import UdpTransport


def transport_for(bus: Bus) -> Transport:
    """Return an unconnected transport for that bus' kind and port.

    Raises:
        ValueError: a network port that is not "host:port".
    """
    if bus.kind is BusKind.SERIAL:
        from drivers.transport.serial_port import SerialTransport  # noqa: PLC0415 - without a serial bus, no pyserial

        return SerialTransport(bus.port, baud=bus.baud, data_format=bus.format)
    host, separator, port = bus.port.rpartition(":")
    if not separator or not port.isdecimal():
        raise ValueError(f'{bus.kind} wants port = "host:port", not "{bus.port}"')
    make = UdpTransport if bus.kind is BusKind.LINE_OVER_UDP else TcpTransport
    return make(host.strip("[]"), int(port))
