-- Let days be made by somebody else than the processor.
REVOKE EXECUTE ON FUNCTION ensure_webhook_days, ensure_webhook_partitions FROM ringback_processor
