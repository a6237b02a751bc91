-- Rows of the audit before ($1, $2), newest first, that match every given filter (null: no filter):
-- org, action, actor, webhook, from, before. It returns at most $9. The plan is made for the given
-- values (`plan_for_values.sql`), so each filter that is given can use its index.
SELECT at, actor, role, org_id, action, job_id, reason, details ->> 'new_job_id' AS new_job_id,
       details ->> 'destination' AS destination, details ->> 'run' AS run_id, id,
       CASE WHEN octet_length(details::text) <= $10 THEN details::text END AS details
FROM webhook_audit
WHERE (at, id) < ($1::timestamptz, $2::bigint)
  AND ($3::uuid IS NULL OR org_id = $3)
  AND ($4::text IS NULL OR action = $4)
  AND ($5::text IS NULL OR actor = $5)
  AND ($6::uuid IS NULL OR job_id = $6)
  AND ($7::timestamptz IS NULL OR at >= $7)
  AND ($8::timestamptz IS NULL OR at < $8)
ORDER BY at DESC, id DESC
LIMIT $9
