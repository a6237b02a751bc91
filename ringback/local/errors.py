class LocalStackError(Exception):
    """The local stack cannot do this; the message is one sentence for the terminal."""
