--> given
CREATE TABLE logins (id bigint NOT NULL);
INSERT INTO logins VALUES (1);
--> migration
SET lock_timeout = '2s';
ALTER TABLE logins ADD PRIMARY KEY (id);
--> finds
contract
2 unique-builds-index
--> postgres
read through: logins
AccessExclusiveLock: logins
