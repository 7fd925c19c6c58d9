--> given
CREATE TABLE payments (id bigint PRIMARY KEY, user_id int, amount int, note varchar(20), fee numeric(10,2), at timestamp);
INSERT INTO payments SELECT n, n, n, 'n', n, now() FROM generate_series(1, 100) n;
--> migration
SET LOCAL lock_timeout TO '0';
ALTER TABLE payments ADD COLUMN memo text;
--> finds
expand
2 no-lock-timeout
--> postgres
AccessExclusiveLock: payments
