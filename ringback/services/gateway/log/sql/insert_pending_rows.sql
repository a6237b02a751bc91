-- The webhooks of one batch, sorted by id. Without a conflict target only INSERT permission is needed.
-- A row that the processor has already written is newer and is kept. An empty object marks a row
-- without its payload: no event is that small.
WITH ledger AS (
    -- How many webhooks this gateway instance has accepted so far.
    INSERT INTO webhook_gateway_ledger (gateway_instance_id, accepted)
    SELECT $9, $10::bigint WHERE $10::bigint IS NOT NULL
)
INSERT INTO webhook_delivery_log
    (id, org_id, endpoint_id, event_type, event_data, created_at, call_id, dedup_key, status,
     max_attempts, gateway_instance_id)
SELECT batch.id, batch.org_id, batch.endpoint_id, batch.event_type, '{}', batch.created_at,
       batch.call_id, batch.dedup_key, 'pending', batch.max_attempts, $9
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::timestamptz[], $6::text[],
            $7::text[], $8::integer[])
     AS batch (id, org_id, endpoint_id, event_type, created_at, call_id, dedup_key, max_attempts)
ON CONFLICT DO NOTHING
