"""What the engine can do at most: its own constants, for rooms that may not call it."""

from tailflip._native import MAX_CAP_PER_JOB, MAX_CAP_TOTAL

__all__ = ["MAX_CAP_PER_JOB", "MAX_CAP_TOTAL"]
