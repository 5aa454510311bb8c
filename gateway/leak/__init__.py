"""Whether, how fast and where the station leaks. Pure: numpy only, times are handed in."""
