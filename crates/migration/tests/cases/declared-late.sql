--> migration
CREATE TABLE a (id int);
-- tend: contract
DROP TABLE b;
--> finds
contract
2 class-unknown
3 no-lock-timeout
