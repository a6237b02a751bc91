"""The faults, a file for each family. A file's `FAULTS` is what the registry reads."""
