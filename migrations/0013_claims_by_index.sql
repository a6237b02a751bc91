-- Has claims looked up by their index, from the first webhook on.
--
-- Plans of the log's functions are made once in a session. One that is made while the inbox is nearly
-- empty reads all of it, which is cheapest then, and goes on to do so with each webhook until the
-- server counts the table. In a new installation, or one that was restored, that is the minute in
-- which thousands of webhooks may wait: at 15,000 claims a webhook cost three times as much.

SET LOCAL lock_timeout = '4s';

ALTER FUNCTION claim_webhook_events(uuid[], uuid[], text[])
    SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off;
