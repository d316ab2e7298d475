"""Settings: declared once in `schema`, read by `load` from a file, the environment and flags."""
