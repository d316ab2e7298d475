"""The base of all rooms: clocks, disk, errors, text. Imports no room above it."""
