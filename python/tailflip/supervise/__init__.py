"""The gateway's process: may it start, how does it fare, why did it end, what follows."""
