"""Judges ledgers: functions from values to conclusions."""
