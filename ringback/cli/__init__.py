"""The `ringback` command: one file per command."""
