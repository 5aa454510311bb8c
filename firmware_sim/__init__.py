"""An emulated rig: transducers, their RS-485 lines and the air around them, from the same rig file as the real one."""


class EmulatorError(Exception):
    """Base of everything that the emulator raises on purpose."""
