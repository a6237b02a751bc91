"""What pages show, as pure functions."""
