"""Planning: pure functions that choose what is to be done."""
