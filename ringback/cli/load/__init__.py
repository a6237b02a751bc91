"""Sends webhooks for `ringback send` and waits for their outcomes."""
