"""The delivery log: pending rows and the ledger."""
