"""The subcommands, grouped by topic."""
