"""Authentication of callers, and their rights in the database."""
