--> given
CREATE TABLE payments (id bigint PRIMARY KEY, user_id int, amount int, note varchar(20), fee numeric(10,2), at timestamp);
INSERT INTO payments SELECT n, n, n, 'n', n, now() FROM generate_series(1, 100) n;
--> migration
SET lock_timeout = '2s';
ALTER TABLE payments DROP CONSTRAINT payments_pkey, OWNER TO CURRENT_USER, REPLICA IDENTITY FULL, SET WITHOUT CLUSTER;
--> finds
expand
--> postgres
AccessExclusiveLock: payments
