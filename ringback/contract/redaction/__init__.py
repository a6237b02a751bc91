"""What of an event is not written down: the values at listed paths."""
