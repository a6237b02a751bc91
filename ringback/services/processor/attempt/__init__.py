"""One attempt of a webhook: its slot, its handlers, its outcome, and the verdict on its message."""
