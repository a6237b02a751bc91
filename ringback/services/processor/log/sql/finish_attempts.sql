-- End attempts: write the attempt rows, the claims, the statuses and the calls together.
SELECT delivery_id, final_outcome, is_fresh, duplicate_of, has_given_turn
FROM finish_webhook_attempts(
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
    $22, $23, $24, $25, $26, $27, $28)
