from dataclasses import dataclass

from ringback.services.gateway.questions.stored import StoredAnswers


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


def stored(clock: Clock, max_count: int = 3, max_bytes: int = 100) -> StoredAnswers[str]:
    return StoredAnswers(keep_s=10.0, max_count=max_count, max_bytes=max_bytes, clock=clock)


def test_an_answer_is_kept_for_its_time() -> None:
    clock = Clock()
    answers = stored(clock)
    answers.put("a", "A")

    clock.now += 9.9
    before = answers.get("a")
    clock.now += 0.1

    assert before == "A"
    assert answers.get("a") is None


def test_the_oldest_leave_when_they_are_too_many() -> None:
    answers = stored(Clock())

    for key in "abcd":
        answers.put(key, key.upper())

    assert [answers.get(key) for key in "abcd"] == [None, "B", "C", "D"]


def test_the_oldest_leave_when_they_are_too_large() -> None:
    answers = stored(Clock())
    for key in "abc":
        answers.put(key, key.upper())
        answers.resize(key, 40)

    assert [answers.get(key) for key in "abc"] == [None, "B", "C"]
    answers.forget("b")
    answers.put("d", "D")
    answers.resize("d", 60)
    answers.resize("gone", 1_000)

    assert [answers.get(key) for key in "cd"] == ["C", "D"]
