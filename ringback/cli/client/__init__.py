"""How commands reach the metrics API, the broker and the database."""
