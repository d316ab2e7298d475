"""The environment variable that marks the processes of a life; imports nothing, for `gate`."""

from __future__ import annotations

# Every process of one life has the life's id in this variable.
LIFE_VARIABLE = "TAILFLIP_LIFE"
