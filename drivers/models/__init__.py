"""Transducer families, one module each, most of it data; entry points `manovac.drivers` name each `MODEL`."""
