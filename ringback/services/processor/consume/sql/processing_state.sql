-- Whether processing is paused, by whom and why.
SELECT paused, changed_by, reason FROM webhook_processing
