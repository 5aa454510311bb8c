"""What Manovac's promises cost, measured: `python -m tests.benchmarks [NAME...] [--write]`; see docs/performance.md."""
