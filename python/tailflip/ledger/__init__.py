"""The ledger: what tailflip knows and did, in one SQLite file in its state directory."""
