"""Makes the attempts: takes webhooks from the broker, runs their handlers, writes down the end."""
