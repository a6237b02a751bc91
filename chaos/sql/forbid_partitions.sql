-- Let a role other than the processor create the days.
REVOKE EXECUTE ON FUNCTION ensure_webhook_partitions_for, ensure_webhook_partitions FROM ringback_processor
