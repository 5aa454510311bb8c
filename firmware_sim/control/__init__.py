"""Live control of an emulated rig: what can be asked of it while it runs, in process or as JSON lines over a socket."""

from firmware_sim import EmulatorError


class ControlError(EmulatorError, ValueError):
    """A request that cannot be meant as it stands; the message says what is wrong and what would do."""
