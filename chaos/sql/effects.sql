-- How many effects each of these events has.
SELECT event, count(*) AS effects FROM chaos.effects WHERE event = ANY ($1::text[]) GROUP BY event
