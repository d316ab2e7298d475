"""Observation of the machine: service definitions, journal, reports, room on disks, changes."""
