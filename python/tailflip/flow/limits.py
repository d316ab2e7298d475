"""The engine's upper limits, for rooms that may not call the engine."""

from tailflip._native import MAX_CAP_PER_JOB, MAX_CAP_TOTAL

__all__ = ["MAX_CAP_PER_JOB", "MAX_CAP_TOTAL"]
