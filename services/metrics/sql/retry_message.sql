-- What the message of one retry is made of.
SELECT log.id, log.org_id, log.endpoint_id, log.event_type, log.event_data::text AS body,
       log.dedup_key, log.gateway_life, retry.original, retry.received_at
FROM webhook_retries AS retry
JOIN webhook_delivery_log AS log ON log.id = retry.new_id
WHERE retry.new_id = $1 AND log.id = $1
