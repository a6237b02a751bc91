"""What crosses the border of a process: names, formats, states. Nothing here does I/O."""
