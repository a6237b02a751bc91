"""A durable inbox for voice-call webhooks."""

__version__ = "0.1.0"
