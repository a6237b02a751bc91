-- Lets each value of a call come from the event that is to be trusted most, and marks duplicates that
-- differ from the webhook that they are a duplicate of.
--
-- The values of a call used to be merged by their size: the alphabet decided between two reasons, and
-- a time of 1970 stayed for ever. Now each has a rank that the processor computes.

SET LOCAL lock_timeout = '4s';

-- A constant default, so no row is rewritten. What is there already has the lowest rank.
ALTER TABLE voice_calls
    ADD COLUMN ranks bigint[] NOT NULL DEFAULT '{0,0,0,0,0,0,0,0,0,0,0,0}';

COMMENT ON COLUMN voice_calls.ranks IS
    'How far each value is to be trusted, from call_type to transcript. The higher rank wins.';

ALTER TABLE webhook_delivery_log ADD COLUMN duplicate_differs boolean;

COMMENT ON COLUMN webhook_delivery_log.duplicate_differs IS
    'Of a second report or end of a call: whether its content differs from that of the first. '
    'Null where they were not compared.';

-- The content of an event, without what Vapi makes for each delivery: links that open a recording.
CREATE FUNCTION webhook_content(event_data jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
DECLARE
    content  jsonb := event_data;
    path     text[];
    artifact jsonb;
BEGIN
    FOR path IN VALUES (ARRAY['message', 'artifact']), (ARRAY['message', 'call', 'artifact']),
                       (ARRAY['artifact']), (ARRAY['call', 'artifact'])
    LOOP
        artifact := content #> path;
        IF jsonb_typeof(artifact) = 'object' THEN
            content := jsonb_set(content, path, artifact - ARRAY(
                SELECT key FROM jsonb_object_keys(artifact) AS key WHERE key LIKE 'presigned%'));
        END IF;
    END LOOP;
    RETURN content;
END
$$;
