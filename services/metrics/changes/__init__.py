"""The changes people make: retry or discard a dead letter, pause processing."""
