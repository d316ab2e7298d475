"""Alerts: tells people what they must act on, once, and that it is over.

`conditions` concludes from the ledger what is wrong. `rules` are pure: which alert opens and
closes, who is told of it, and when. `words` writes the messages. `turn` is one pass: read, decide,
write to the outbox, send. A pass lives seconds and leaves nothing behind but rows of the ledger.
"""
