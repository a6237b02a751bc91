class CommandError(Exception):
    """The command cannot do what was asked; the text is a sentence for the person who asked."""


class BadInputError(CommandError):
    """What was asked cannot be meant; the text says what can."""
