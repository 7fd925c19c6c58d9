--> migration
SET lock_timeout = '2s';
DROP TABLE payments;
--> finds
contract
