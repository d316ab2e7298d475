"""Head: pure functions that say what is wrong."""
