"""What is wrong, concluded from values: pure functions, which read and write nothing."""
