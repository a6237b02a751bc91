-- Give a message without a job id an id, the same one each time it is seen.
SELECT coalesce(
    (SELECT owner_id
     FROM claim_webhook_events(ARRAY[$1::uuid], ARRAY[$2::uuid], ARRAY[$3::text], ARRAY[$1::uuid])),
    $1) AS owner_id
