def well_formed(text: str) -> str:
    """The text, with `?` for lone surrogates, one of which would cost a batch its export."""
    return text if text.isascii() else text.encode(errors="replace").decode()
