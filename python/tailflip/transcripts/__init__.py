"""Transcripts of the JSON era: how large they are, what in them is old, and how it leaves."""
