"""The rules of alerts: pure functions of values and time, one subject a file."""
