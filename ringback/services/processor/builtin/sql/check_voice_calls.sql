-- Changes nothing, and fails if the calls could not be written.
SELECT merge_voice_calls('[]', '{}', '{}')
