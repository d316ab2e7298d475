"""Changes to OpenClaw's own ledgers: each an action of our ledger, with an undo."""
