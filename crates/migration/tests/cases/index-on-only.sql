--> given
CREATE TABLE events (id bigint, day date) PARTITION BY RANGE (day);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
INSERT INTO events VALUES (1, '2026-01-02');
--> migration
SET lock_timeout = '2s';
CREATE INDEX events_day ON ONLY events (day);
--> finds
expand
--> postgres
ShareLock: events
