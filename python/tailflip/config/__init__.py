"""The settings: `schema` declares them, `load` reads them from a file, environment and flags."""
