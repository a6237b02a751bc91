-- Changes nothing, and fails if the calls could not be written.
INSERT INTO voice_calls SELECT * FROM voice_calls WHERE false
ON CONFLICT (org_id, call_id) DO UPDATE SET events = voice_calls.events
