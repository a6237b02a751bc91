"""The endpoints that accept webhooks: what the operator declares, and who may send to each."""
