"""Reconciles ledgers that disagree: which runs live, which are over, and what to write.

`judge` concludes from values. `write` changes OpenClaw's files, each change an action with
an undo. `steps` has one function for each kind, `kinds` the table of them, and `context` the
values that they share.

Order of work: cron store, then task ledger, transcripts, session stores. `Hands.require_stopped`
stands before each write of the cron store and the task ledger, because the gateway takes no lock
on them. Session stores are files that are written under the gateway's own lock, at any time, or
databases, of a stopped gateway.
"""
