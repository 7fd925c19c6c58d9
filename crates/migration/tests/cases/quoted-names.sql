--> migration
SET lock_timeout = '2s';
ALTER TABLE "Payments" ADD COLUMN "x""y" int NOT NULL;
CREATE TABLE payments (id int);
CREATE INDEX ON payments (id);
CREATE INDEX ON "Payments" (id);
--> finds
contract
2 not-null-without-default
5 index-without-concurrently
