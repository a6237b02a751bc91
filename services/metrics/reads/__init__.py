"""What the metrics service answers from the log and the queues; nothing here changes anything."""
