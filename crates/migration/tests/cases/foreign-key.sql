--> given
CREATE TABLE payments (id bigint PRIMARY KEY, user_id int, amount int, note varchar(20), fee numeric(10,2), at timestamp);
INSERT INTO payments SELECT n, n, n, 'n', n, now() FROM generate_series(1, 100) n;
CREATE TABLE users (id int PRIMARY KEY, name text);
INSERT INTO users SELECT n, 'n' FROM generate_series(1, 100) n;
--> migration
SET lock_timeout = '2s';
ALTER TABLE payments ADD CONSTRAINT payments_user FOREIGN KEY (user_id) REFERENCES users (id);
--> finds
contract
2 foreign-key-validates
--> postgres
validating foreign key constraint "payments_user"
ShareRowExclusiveLock: payments
ShareRowExclusiveLock: users
