-- How many webhooks wait in the database.
SELECT count(*) FROM webhook_waits
