"""Proves that nothing accepted is lost: a load with a ledger, faults, and a verdict on each."""
