"""Observation of a gateway: its life, health, heap, processes and release."""
