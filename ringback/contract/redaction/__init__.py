"""What is hidden before an event is stored: the values at listed paths."""
