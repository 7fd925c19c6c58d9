--> given
CREATE TABLE payments (id bigint PRIMARY KEY, user_id int, amount int, note varchar(20), fee numeric(10,2), at timestamp);
INSERT INTO payments SELECT n, n, n, 'n', n, now() FROM generate_series(1, 100) n;
ALTER TABLE payments ADD CONSTRAINT payments_user_set CHECK (user_id IS NOT NULL);
--> migration
SET lock_timeout = '2s';
-- tend: contract
-- tend: allow set-not-null-scans: payments_user_set was validated by 0007
ALTER TABLE payments ALTER user_id SET NOT NULL;
--> finds
contract
--> postgres
AccessExclusiveLock: payments
