-- End the attempt, in the same transaction in which it began.
SELECT delivery_id, final_outcome, is_fresh, duplicate_of, has_given_turn
FROM public.finish_webhook_transaction(
    $29, $30, $31,
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21,
    $22, $23, $24, $25, $26, $27, $28)
