"""Diagnosis: functions that find what is wrong in given observations."""
