"""Whether, how fast and where a station loses air: pure numerics, no input or output."""
