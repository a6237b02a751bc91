-- How many dead letters of each group of $1 to $3 are unresolved; groups without one are left out.
SELECT log.org_id, log.event_type, left(log.error_class, 200) AS error_class, count(*) AS waiting
FROM webhook_delivery_log AS log
JOIN unnest($1::uuid[], $2::text[], $3::text[]) AS given (org_id, event_type, error_class)
  ON log.org_id = given.org_id AND log.event_type = given.event_type
 AND left(log.error_class, 200) = given.error_class
WHERE log.is_unresolved
GROUP BY 1, 2, 3
