"""The emulated station's air and the sensing elements that feel it; start at `firmware_sim.physics.world`."""
