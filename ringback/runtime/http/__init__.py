"""Bounded HTTP servers: listening, connection limits and open files."""
