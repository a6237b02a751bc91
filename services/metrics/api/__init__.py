"""Receive calls by gRPC and REST, and send their answers and errors."""
