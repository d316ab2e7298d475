"""What can be wrong, one rule for each."""
