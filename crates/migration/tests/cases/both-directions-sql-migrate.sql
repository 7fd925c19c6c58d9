--> migration
-- +migrate Down
DROP TABLE payments;
-- +migrate Up
DROP TABLE users;
--> finds
contract
4 no-lock-timeout
