-- What the reads of people need: the webhooks of a call, and the failures that nobody has resolved.
--
-- Updates by successful attempts stay HOT: they change neither call_id nor resolution, and the error
-- class is in other indexes already. A log that holds much is better served by making the same
-- indexes beforehand, day by day with CONCURRENTLY; those are then found here.

SET LOCAL lock_timeout = '4s';

-- About 5 us and 150 bytes of log for each webhook. Without it, whoever asks for one call looks
-- through all webhooks. With the organisation, or the webhooks of a large one would be looked at
-- too. Without the id, so that equal keys are stored once.
CREATE INDEX IF NOT EXISTS webhook_delivery_log_call ON webhook_delivery_log (call_id, org_id)
    WHERE call_id IS NOT NULL;

-- Resolved dead letters stay in the log for weeks, and would all be looked at to find those that
-- wait. No status in the condition, or a change of status would touch an index.
CREATE INDEX IF NOT EXISTS webhook_delivery_log_org_unresolved ON webhook_delivery_log (org_id, id)
    WHERE error_class IS NOT NULL AND resolution IS NULL;
CREATE INDEX IF NOT EXISTS webhook_delivery_log_unresolved ON webhook_delivery_log (id)
    WHERE error_class IS NOT NULL AND resolution IS NULL;
