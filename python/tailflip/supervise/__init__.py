"""Supervises the gateway's process: judges its start, watches its life, explains its end."""
