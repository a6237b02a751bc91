"""gRPC and REST, and what both share."""
