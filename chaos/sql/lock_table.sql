-- As a change of the table would that somebody forgot to commit.
LOCK TABLE webhook_delivery_log IN ACCESS EXCLUSIVE MODE
