"""What we know and did, on disk before it is acted on: one SQLite file in our own directory."""
