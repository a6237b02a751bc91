"""The webhooks, handlers and output of `ringback demo`."""
