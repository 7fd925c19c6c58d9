--> given
CREATE TABLE payments (id bigint PRIMARY KEY, user_id int, amount int, note varchar(20), fee numeric(10,2), at timestamp);
INSERT INTO payments SELECT n, n, n, 'n', n, now() FROM generate_series(1, 100) n;
--> migration
SET lock_timeout = '2s';
SET timezone = 'Asia/Shanghai';
ALTER TABLE payments ALTER COLUMN at SET DATA TYPE timestamp with time zone;
--> finds
contract
3 type-change-may-rewrite
--> postgres
written anew: payments
read through: payments
AccessExclusiveLock: payments
