"""The device twins: one state machine per transducer family; `firmware_sim.firmware.firmware` is the seam they fit."""
