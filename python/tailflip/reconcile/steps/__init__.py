"""What each kind of reconciliation does: look, have it judged, tell it, and with leave mend it."""
