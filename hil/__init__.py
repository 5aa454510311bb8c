"""The bench: a rig, real or emulated, made live for tests; `hil/rigs` holds the rigs that ship."""
