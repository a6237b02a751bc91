-- Mark the duplicates that differ from their first webhook, and return those that do or may: a pending
-- row of the first may have no payload yet.
UPDATE webhook_delivery_log AS copy
SET duplicate_differs = CASE
        WHEN webhook_has_payload(first.event_data)
        THEN webhook_content(copy.event_data) <> webhook_content(first.event_data) END
FROM webhook_delivery_log AS first
WHERE copy.id = ANY ($1) AND copy.status = 'duplicate' AND first.id = copy.duplicate_of
RETURNING copy.id, copy.duplicate_differs IS NOT FALSE AS may_differ
