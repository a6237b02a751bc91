"""How fast Ringback is, beside the plainest program that does a part of its work."""
