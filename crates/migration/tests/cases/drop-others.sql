--> migration
DROP VIEW report;
DROP FUNCTION touch(int, text);
DROP TRIGGER t ON payments;
DROP INDEX CONCURRENTLY i;
--> finds
contract
4 concurrently-not-alone
