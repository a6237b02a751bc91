"""The local spool: webhooks wait on this machine's disk while the broker cannot confirm them."""
