--> given
CREATE TABLE events (id bigint, day date) PARTITION BY RANGE (day);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE events_2 (id bigint, day date);
INSERT INTO events_2 VALUES (1, '2026-02-02');
--> migration
SET lock_timeout = '2s';
ALTER TABLE events ATTACH PARTITION events_2 FOR VALUES FROM ('2026-02-01') TO ('2026-03-01');
--> finds
expand
2 attach-scans
--> postgres
read through: events_2
ShareUpdateExclusiveLock: events
AccessExclusiveLock: events_2
