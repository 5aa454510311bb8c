"""Byte codecs of the emulated devices, pure, and written apart from the gateway's: questions parsed, answers built."""
