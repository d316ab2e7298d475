"""A message as a pass writes it, for tests of how it is sent."""

from __future__ import annotations

from tailflip.flow.alerts import Message, MessageKind, Urgency

MESSAGE = Message(
    number=345,
    kind=MessageKind.OPENED,
    urgency=Urgency.CRITICAL,
    subject="attic: gateway down; 3 deaths",
    body="Since 02:37 the gateway does not answer.\nWhat to do: tailflip incidents why\nÜbung ✓",
    alerts=("tf-attic-12", "tf-attic-13"),
    made_ms=1_800_000_000_000,
)
