--> migration
DO $$ BEGIN EXECUTE 'DROP TABLE payments; --'; END $$;
CALL move_money();
\i other.sql
FROBNICATE payments;
--> finds
contract
1 class-unseen
2 class-unseen
3 class-unseen
4 class-unseen
