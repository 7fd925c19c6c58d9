--> migration
ALTER TABLE payments ADD COLUMN memo text DEFAULT 'it''s;
DROP TABLE payments;
--> finds
contract
1 no-lock-timeout
1 unclosed
