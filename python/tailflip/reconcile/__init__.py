"""One truth out of ledgers that disagree: who lives, who is over, and what to write down.

`evidence` judges and `storms`, `growth`, `stuck` conclude: pure functions of values.
`zombies`, `jobs`, `tasks` change OpenClaw's files, each change an action with an undo.

Order of locks, whoever takes them: cron store, then task ledger, then session stores,
never two at a time. The cron store and the task ledger are written only while the gateway
is provably stopped, for the gateway takes no lock on them; session stores under the
gateway's own lock, at any time.
"""
