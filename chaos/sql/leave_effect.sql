-- One effect of one event. It commits with the event's end, or not at all.
INSERT INTO chaos.effects (event, job_id, attempt) VALUES ($1, $2, $3)
