-- Removes times from the calls that no event can have meant, such as 1970 for a missing one.
--
-- Apart from the migration that changes the table: this one reads all of it, and nobody waits.

SET LOCAL lock_timeout = '4s';

UPDATE voice_calls
SET started_at = CASE WHEN started_at >= '2000-01-01T00:00:00Z' THEN started_at END,
    ended_at = CASE WHEN ended_at >= '2000-01-01T00:00:00Z' THEN ended_at END,
    first_event_at = CASE
        WHEN first_event_at >= '2000-01-01T00:00:00Z' THEN first_event_at ELSE last_event_at END
WHERE least(started_at, ended_at, first_event_at) < '2000-01-01T00:00:00Z';
