"""Mends transcripts of sessions, each with an undo: what stands in files, before 2026.8.1."""
