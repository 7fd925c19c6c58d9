--> migration
ALTER INDEX payments_pkey RENAME TO payments_key;
ALTER VIEW report RENAME COLUMN a TO b;
ALTER TYPE mood ADD VALUE IF NOT EXISTS 'ok';
--> finds
contract
