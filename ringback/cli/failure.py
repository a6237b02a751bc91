class CommandError(Exception):
    """The command cannot do this; the text is a sentence for its user."""


class BadInputError(CommandError):
    """The input is invalid; the text names the valid forms."""
