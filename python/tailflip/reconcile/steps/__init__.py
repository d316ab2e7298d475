"""The steps of reconciliation, one function a kind: look, judge, report, and mend if allowed."""
