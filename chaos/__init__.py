"""Tests that no accepted webhook is lost: a load with a ledger, faults, and a verdict on each."""
