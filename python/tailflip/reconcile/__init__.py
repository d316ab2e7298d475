"""One truth out of ledgers that disagree: who lives, who is over, and what to write down.

`judge` concludes from values. `write` changes OpenClaw's files, each change an action with
an undo. `steps` has one function for each kind, `kinds` the table of them, and `context` the
values that they share.

Order of locks: cron store, then task ledger, then session stores, never two at a time. The
cron store and the task ledger are written only while the gateway is provably stopped, for
the gateway takes no lock on them; session stores under the gateway's own lock, at any time.
"""
