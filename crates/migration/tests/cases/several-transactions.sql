--> migration
SET lock_timeout = '2s';
BEGIN;
ALTER TABLE payments ADD COLUMN memo text;
COMMIT;
BEGIN;
ALTER TABLE users ADD COLUMN memo text;
COMMIT;
--> finds
expand
