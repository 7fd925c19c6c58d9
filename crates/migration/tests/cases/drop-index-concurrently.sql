--> given
CREATE TABLE payments (id bigint PRIMARY KEY, user_id int, amount int, note varchar(20), fee numeric(10,2), at timestamp);
INSERT INTO payments SELECT n, n, n, 'n', n, now() FROM generate_series(1, 100) n;
CREATE INDEX payments_user ON payments (user_id);
--> migration
DROP INDEX CONCURRENTLY IF EXISTS payments_user;
--> finds
expand
--> postgres
as it is
