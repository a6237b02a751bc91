-- Report the endpoints and the refusals of a gateway; null: they have not changed. Returns whether the
-- database had no report of it, and so needs both.
SELECT report_webhook_gateway($1, $2, $3, $4, $5, $6::text::jsonb, $7::text::jsonb)
