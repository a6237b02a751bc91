-- As an uncommitted change of the table would.
LOCK TABLE webhook_delivery_log IN ACCESS EXCLUSIVE MODE
