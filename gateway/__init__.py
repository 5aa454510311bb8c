"""The gateway: polls a rig's transducers, normalises what they say, and publishes it."""
