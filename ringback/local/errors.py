class LocalStackError(Exception):
    """The local stack cannot do what was asked; the message is one sentence for the terminal."""
