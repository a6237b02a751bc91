-- One effect of one event. It commits with the result of the event, or not at all.
INSERT INTO chaos.effects (event, job_id, attempt) VALUES ($1, $2, $3)
