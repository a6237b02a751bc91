-- The webhooks of one batch, sorted by id. Without a conflict target only INSERT permission is needed.
-- A row that the processor has already written is newer and is kept.
INSERT INTO webhook_delivery_log
    (id, org_id, endpoint_id, event_type, event_data, altered, created_at, call_id, dedup_key,
     status, max_attempts, gateway_instance_id)
SELECT batch.id, batch.org_id, batch.endpoint_id, batch.event_type, batch.event_data::jsonb,
       batch.altered, batch.created_at, batch.call_id, batch.dedup_key, 'pending', $10, $11
FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::boolean[],
            $7::timestamptz[], $8::text[], $9::text[])
     AS batch (id, org_id, endpoint_id, event_type, event_data, altered, created_at, call_id,
               dedup_key)
ON CONFLICT DO NOTHING
