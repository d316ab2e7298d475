"""The engine for stores of one JSON file; its bytes are read and written by the extension."""
