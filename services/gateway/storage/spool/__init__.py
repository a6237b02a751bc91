"""Where webhooks wait on this machine's own disk while the broker cannot confirm them."""
