from services.processor.attempt.context import failed


def test_the_texts_of_a_failure_are_cut() -> None:
    """A handler that raises a megabyte of text costs the log two thousand characters."""
    outcome = failed("C" * 1_000, "m" * 1_000_000)

    assert outcome.error_class == "C" * 200
    assert outcome.error_message == "m" * 2_000


def test_the_texts_of_a_failure_are_cleaned() -> None:
    """Text that PostgreSQL cannot store is replaced, so that every failure can be recorded."""
    outcome = failed("a\x00b", "c\ud800d")

    assert (outcome.error_class, outcome.error_message) == ("a�b", "c�d")
