"""The built-in handler."""
