"""What every room stands on: time, disk, errors, words. Knows nothing above itself."""
