"""Access to the metrics API, the broker and the database."""
