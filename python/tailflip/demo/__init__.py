"""The incident, rebuilt: what `tailflip demo`, the tests and the benchmarks run on."""
