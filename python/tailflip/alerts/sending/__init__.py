"""Sends one message to one destination: by a child that lives seconds, and in words of its form.

`deliver.send` starts the child and waits for it; whatever a name server, a proxy or a receiver
does, it ends. `child` is what the child does. Each form of address has a file: `program`,
`webhook`, `ntfy`, `telegram`, `mail`, and `others` for all that Apprise knows.

An address is a secret. It is handed over on standard input, and what is said about a failure
names a scheme and a host that the form knows to be no token.
"""
