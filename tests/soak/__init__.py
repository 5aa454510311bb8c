"""Hours of real time with random faults on line, broker, disk and clock: `python -m tests.soak`; see docs/soak.md."""
