"""From readings to leaks, pure: segment states, air bodies, detection, estimation, localisation. SI units."""
