"""Pure codecs, bytes in and bytes out: start at `modbus` (and the CRC), `keller_bus` or `ascii_line`."""
