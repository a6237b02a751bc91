"""A handler may do anything to its connection: only its own attempt fails."""

import pytest

from ringback.contract.topology import (
    DEAD_LETTER_QUEUE,
    QUARANTINE_QUEUE,
    REQUEUED_QUEUE,
    WORK_QUEUE,
)
from tests.integration.processor.conftest import Starter
from tests.integration.processor.stage import Stage, scripted

MISUSE = "ConnectionMisuse"
ENDED = "The handler ended the transaction that it was given."
CLOSED = "tried to close the connection"
KEPT = "The handler ended its transaction, so its writes may have been kept."
BUSY = "another operation is in progress"
LEFT = "The handler left its connection in a state in which the attempt cannot be finished"
RAISES = "raise RuntimeError"

#: What is done after one effect was written; its error; how many effects each attempt keeps.
CASES: list[tuple[list[str], str, str, int]] = [
    (["?SELECT 1 / 0", "ROLLBACK"], MISUSE, ENDED, 0),
    (["ROLLBACK"], MISUSE, ENDED, 0),
    (["ROLLBACK", "effect"], MISUSE, ENDED, 1),
    (["ROLLBACK", "BEGIN", "effect"], MISUSE, ENDED, 0),
    (["ROLLBACK", "effect", "BEGIN", RAISES], "RuntimeError", "as scripted", 1),
    (["ROLLBACK", "SET ROLE pg_monitor", "BEGIN", RAISES], "RuntimeError", "as scripted", 0),
    (["ROLLBACK", "DISCARD ALL"], MISUSE, KEPT, 0),
    (["ROLLBACK", "DISCARD ALL", "BEGIN", RAISES], "RuntimeError", "as scripted", 0),
    (["DEALLOCATE ALL", RAISES], "RuntimeError", "as scripted", 0),
    (["ROLLBACK", "DISCARD ALL", RAISES], "RuntimeError", "as scripted", 0),
    (["COMMIT"], MISUSE, ENDED, 1),
    (["COMMIT", "effect"], MISUSE, ENDED, 2),
    (["COMMIT", "BEGIN"], MISUSE, ENDED, 1),
    (["COMMIT AND CHAIN"], MISUSE, ENDED, 1),
    (["COMMIT", RAISES], "RuntimeError", "as scripted", 1),
    (["COMMIT", "BEGIN", RAISES], "RuntimeError", "as scripted", 1),
    (["reset"], MISUSE, ENDED, 0),
    (["close"], MISUSE, CLOSED, 0),
    (["?close"], MISUSE, CLOSED, 0),
    (["?terminate"], MISUSE, CLOSED, 0),
    (["leave a task"], MISUSE, BUSY, 0),
    (["leave a cursor"], MISUSE, BUSY, 0),
    (["SET search_path = pg_catalog"], MISUSE, "changed search_path", 0),
    (["SET LOCAL search_path = x, public"], MISUSE, "changed search_path", 0),
    (["SET ROLE pg_monitor"], MISUSE, "function finish_webhook_transaction", 0),
    (["SET LOCAL ROLE pg_monitor"], MISUSE, "function finish_webhook_transaction", 0),
    (["SET SESSION AUTHORIZATION pg_monitor"], MISUSE, "function finish_webhook_transaction", 0),
    (["SET TRANSACTION READ ONLY"], MISUSE, "read-only transaction", 0),
    (["DISCARD ALL"], "ActiveSQLTransactionError", "cannot run inside", 0),
    (["?DISCARD ALL"], "InFailedSQLTransactionError", "aborted", 0),
    (["SAVEPOINT one", "?SELECT 1 / 0"], "InFailedSQLTransactionError", "aborted", 0),
    (["LOCK TABLE webhook_delivery_attempts", RAISES], "RuntimeError", "as scripted", 0),
    (["SET statement_timeout = 1", "SELECT pg_sleep(1)"], "QueryCanceledError", "timeout", 0),
    (["SELECT pg_advisory_lock(8)", RAISES], "RuntimeError", "as scripted", 0),
    (
        ["CREATE TEMP TABLE webhook_delivery_log (LIKE webhook_inbox)"],
        MISUSE,
        "a temporary table",
        0,
    ),
    (["codec"], MISUSE, LEFT, 0),
    (["other database"], "ConnectionRefusedError", "", 0),
    (["raise exit"], "SystemExit", "3", 0),
    (["raise KeyboardInterrupt"], "KeyboardInterrupt", "without a message", 0),
    (["raise OwnBaseError"], "OwnBaseError", "its own", 0),
    (["raise GeneratorExit"], "GeneratorExit", "", 0),
    (["raise CancelledError"], "CancelledError", "cancelled itself", 0),
    (["cancel itself"], "CancelledError", "cancelled itself", 0),
    (["exit in a group"], "ExceptionGroup", "TaskGroup", 0),
]

#: What a reset undoes, or what ends with the transaction.
HARMLESS = [
    ["SET statement_timeout = 1"],
    ["SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"],
    ["SELECT pg_advisory_lock(7)"],
    ["LISTEN shop"],
    ["listen"],
    ["CREATE TEMP TABLE webhook_delivery_log (id int)", "DROP TABLE webhook_delivery_log"],
    ["CREATE TEMP TABLE a (id int)"],
    ["PREPARE one AS SELECT 1"],
    ["DECLARE c CURSOR WITH HOLD FOR SELECT 1"],
    ["SAVEPOINT one", "SELECT 1", "ROLLBACK TO one"],
    ["LOCK TABLE effects"],
    ["leave a late task"],
]


@pytest.mark.slow
async def test_misuse_is_a_failed_attempt(stage: Stage, start: Starter) -> None:
    """Each attempt fails with an error that names the misuse; neighbours are not disturbed."""
    process = start(stage.place)
    misused = []
    others = []
    for steps, *_ in CASES:
        misused.append(await stage.send(scripted("transaction", steps=steps)))
        others.append(await stage.send(scripted("transaction")))

    for job_id, (steps, error_class, text, kept) in zip(misused, CASES, strict=True):
        row = await stage.until(job_id, "dead_letter", deadline_s=60)
        attempts = await stage.attempts(job_id)
        message = row["error_message"]
        ends = [(attempt["outcome"], attempt["error_class"]) for attempt in attempts]
        assert ends == [("failed", error_class)] * 3, steps
        assert text in message, steps
        assert (KEPT in message) == (kept > 0 or {"ROLLBACK", "reset"} & set(steps) != set()), steps
        assert await stage.effects(job_id) == 3 * kept, steps
        assert len(await stage.runs(job_id)) == 3, steps
    for job_id in others:
        row = await stage.until(job_id, "completed")
        assert (row["attempts"], await stage.effects(job_id)) == (1, 1)
    assert process.exit_code is None
    assert not process.outages()
    assert not process.lines("message.requeued")
    await stage.until_empty(WORK_QUEUE, QUARANTINE_QUEUE, REQUEUED_QUEUE, DEAD_LETTER_QUEUE)


@pytest.mark.slow
async def test_changes_that_a_reset_undoes_are_not_misuse(stage: Stage, start: Starter) -> None:
    """The attempt is completed, and the next one on the same connection finds no trace of it."""
    start(stage.place, database_pool_max="1", database_pool_min="1")
    for steps in HARMLESS * 2:
        job_id = await stage.send(scripted("transaction", steps=steps))

        row = await stage.until(job_id, "completed")

        assert await stage.effects(job_id) == 1, steps
        # A busy server may be too late even for the statement that takes the limit away.
        assert row["attempts"] == 1 or steps == ["SET statement_timeout = 1"], steps
    clean = await stage.send(scripted("transaction", sql="SELECT pg_sleep(0.05)"))
    await stage.until(clean, "completed")
    assert await stage.database.fetchval("SELECT pg_try_advisory_lock(7)")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["transaction", "plain"])
async def test_a_handler_that_cancels_what_it_finds_is_tried_again(
    stage: Stage, start: Starter, kind: str
) -> None:
    """It cancels its neighbours' tasks, too: all are delivered again, and each is answered."""
    start(stage.place)
    others = [await stage.send(scripted("transaction", sleep_s=0.5)) for _ in range(3)]
    for job_id in others:
        await stage.until_run(job_id)

    cancels = await stage.send(scripted(kind, steps=["cancel all"], sleep_s=0.1))

    for job_id in others:
        await stage.until(job_id, "completed", deadline_s=60)
        assert await stage.effects(job_id) == 1
    row = await stage.until(cancels, "dead_letter", deadline_s=120)
    assert row["error_class"]
