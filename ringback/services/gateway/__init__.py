"""Accepts webhooks: stores each durably before it responds, and does nothing else."""
