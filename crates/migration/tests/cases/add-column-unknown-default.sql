--> given
CREATE TABLE payments (id bigint PRIMARY KEY, user_id int, amount int, note varchar(20), fee numeric(10,2), at timestamp);
INSERT INTO payments SELECT n, n, n, 'n', n, now() FROM generate_series(1, 100) n;
CREATE FUNCTION new_code() RETURNS text LANGUAGE sql AS 'SELECT md5(random()::text)';
--> migration
SET lock_timeout = '2s';
ALTER TABLE payments ADD COLUMN code text DEFAULT new_code();
--> finds
expand
2 unknown-default
--> postgres
written anew: payments
read through: payments
AccessExclusiveLock: payments
