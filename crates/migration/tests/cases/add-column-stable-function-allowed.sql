--> given
CREATE TABLE payments (id bigint PRIMARY KEY, user_id int, amount int, note varchar(20), fee numeric(10,2), at timestamp);
INSERT INTO payments SELECT n, n, n, 'n', n, now() FROM generate_series(1, 100) n;
CREATE FUNCTION shop_code() RETURNS text STABLE LANGUAGE sql AS 'SELECT ''a''::text';
--> migration
-- tend: allow unknown-default: shop_code() is STABLE
SET lock_timeout = '2s';
ALTER TABLE payments ADD COLUMN code text DEFAULT shop_code();
--> finds
expand
--> postgres
AccessExclusiveLock: payments
