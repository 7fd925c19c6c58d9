--> given
CREATE TABLE payments (id bigint PRIMARY KEY, user_id int, amount int, note varchar(20), fee numeric(10,2), at timestamp);
INSERT INTO payments SELECT n, n, n, 'n', n, now() FROM generate_series(1, 100) n;
CREATE MATERIALIZED VIEW totals AS SELECT user_id, sum(amount) FROM payments GROUP BY 1;
CREATE UNIQUE INDEX ON totals (user_id);
--> migration
REFRESH MATERIALIZED VIEW CONCURRENTLY totals;
--> finds
expand
--> postgres
ExclusiveLock: totals
