--> given
CREATE TABLE payments (id bigint PRIMARY KEY, user_id int, amount int, note varchar(20), fee numeric(10,2), at timestamp);
INSERT INTO payments SELECT n, n, n, 'n', n, now() FROM generate_series(1, 100) n;
--> migration
SET lock_timeout = '2s';
LOCK TABLE payments IN ACCESS EXCLUSIVE MODE;
--> finds
expand
2 lock-table
--> postgres
AccessExclusiveLock: payments
