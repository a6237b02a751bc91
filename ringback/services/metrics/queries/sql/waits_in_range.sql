-- How many of the webhooks that were created since a given time wait in the database.
SELECT count(*) AS count FROM webhook_waits WHERE delivery_id >= webhook_id_at($1::timestamptz)
