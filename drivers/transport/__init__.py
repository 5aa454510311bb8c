"""What carries a bus' bytes: a serial port, a TCP connection, or memory."""
