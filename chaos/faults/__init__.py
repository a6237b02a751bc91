"""The faults, one file per group. The registry reads `FAULTS` of each file."""
