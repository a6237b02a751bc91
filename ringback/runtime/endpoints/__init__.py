"""The file that declares endpoints: reading it, its secrets, and reading it again on a change."""
