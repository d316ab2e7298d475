"""What `--json` answers: the interface for programs, apart from the values that we pass around."""
