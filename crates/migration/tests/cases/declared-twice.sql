--> migration
-- tend: expand
-- tend: contract
SELECT 1;
--> finds
contract
2 class-unknown
