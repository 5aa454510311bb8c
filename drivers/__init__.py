"""Talks to pressure transducers: the rig file's words, buses, wire codecs and one module for each transducer family."""
