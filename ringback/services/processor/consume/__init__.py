"""How messages are consumed and settled."""
