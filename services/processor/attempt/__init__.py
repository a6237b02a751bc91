"""One attempt of a webhook."""
