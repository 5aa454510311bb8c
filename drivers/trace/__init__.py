"""Recorded lines: the file format, who asked what and who answered, and how two records differ. No port, no clock."""
