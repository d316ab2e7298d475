"""Observation: reads an installation and its host, and changes no file of theirs."""
