--> given
CREATE TABLE payments (id bigint PRIMARY KEY, user_id int, amount int, note varchar(20), fee numeric(10,2), at timestamp);
INSERT INTO payments SELECT n, n, n, 'n', n, now() FROM generate_series(1, 100) n;
--> migration
CREATE INDEX CONCURRENTLY payments_user ON payments (user_id);
CREATE INDEX CONCURRENTLY payments_amount ON payments (amount);
--> finds
expand
1 concurrently-not-alone
2 concurrently-not-alone
--> postgres
as it is
refused: CREATE INDEX CONCURRENTLY cannot run inside a transaction block
