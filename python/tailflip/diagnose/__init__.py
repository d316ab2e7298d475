"""Diagnosis: pure functions that find what is wrong."""
