"""The read-only calls: answers from the log and the queues."""
