--> given
CREATE TABLE payments (id bigint PRIMARY KEY, user_id int, amount int, note varchar(20), fee numeric(10,2), at timestamp);
INSERT INTO payments SELECT n, n, n, 'n', n, now() FROM generate_series(1, 100) n;
--> migration
BEGIN;
CREATE INDEX CONCURRENTLY payments_user ON payments (user_id);
COMMIT;
--> finds
expand
2 concurrently-in-transaction
--> postgres
as it is
refused: CREATE INDEX CONCURRENTLY cannot run inside a transaction block
