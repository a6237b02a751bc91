"""Reads recorded spans and shows those of one webhook."""
