"""What the processor writes to the delivery log."""
