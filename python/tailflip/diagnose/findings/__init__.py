"""The findings: one rule for each thing that can be wrong."""
