-- Let the processor make days again.
GRANT EXECUTE ON FUNCTION ensure_webhook_partitions_for, ensure_webhook_partitions TO ringback_processor
