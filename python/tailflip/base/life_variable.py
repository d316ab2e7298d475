"""The mark of a life in the environment of its processes; light, for `gate` needs it too."""

from __future__ import annotations

# In the environment of every process of one life: its id.
LIFE_VARIABLE = "TAILFLIP_LIFE"
