--> given
CREATE TABLE payments (id bigint PRIMARY KEY, user_id int, amount int, note varchar(20), fee numeric(10,2), at timestamp);
INSERT INTO payments SELECT n, n, n, 'n', n, now() FROM generate_series(1, 100) n;
--> migration
SET lock_timeout = '2s';
CREATE TABLE payments_new (LIKE payments INCLUDING ALL);
INSERT INTO payments_new SELECT * FROM payments;
ALTER TABLE payments RENAME TO payments_old;
ALTER TABLE payments_new RENAME TO payments;
CREATE INDEX ON payments (user_id);
--> finds
contract
--> postgres
written anew: payments
read through: payments
AccessExclusiveLock: payments
