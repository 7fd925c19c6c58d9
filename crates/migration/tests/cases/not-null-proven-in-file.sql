--> migration
-- tend: contract
-- migrate:up transaction:false
SET lock_timeout = '2s';
ALTER TABLE payments ADD CONSTRAINT user_set CHECK (user_id IS NOT NULL) NOT VALID;
ALTER TABLE payments VALIDATE CONSTRAINT user_set;
ALTER TABLE payments ALTER COLUMN user_id SET NOT NULL;
ALTER TABLE payments DROP CONSTRAINT user_set;
-- migrate:down
ALTER TABLE payments ALTER COLUMN user_id DROP NOT NULL;
--> finds
contract
