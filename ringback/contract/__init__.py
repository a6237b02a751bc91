"""What crosses a process border: names, formats, states. There is no I/O here."""
