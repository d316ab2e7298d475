"""The rebuilt incident, on which `tailflip demo`, tests and benchmarks run."""
