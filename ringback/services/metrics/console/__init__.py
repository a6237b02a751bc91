"""The console: pages for people, by the same calls as gRPC and REST."""
