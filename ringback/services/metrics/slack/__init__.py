"""Slack alerts about dead letters."""
