-- Let whoever deletes a wait take a minute. The first statement waits for those who use the table.
CREATE OR REPLACE FUNCTION chaos.take_a_minute() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_sleep(60);
    RETURN OLD;
END
$$;
CREATE TRIGGER chaos_delay BEFORE DELETE ON webhook_waits
    FOR EACH ROW EXECUTE FUNCTION chaos.take_a_minute()
