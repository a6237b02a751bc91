"""The faults, one file per family. The registry reads `FAULTS` of each file."""
