--> given
--> migration
CREATE TEMP TABLE scratch AS SELECT 1;
CREATE FUNCTION once() RETURNS void LANGUAGE sql AS 'SELECT 1';
SELECT once();
DROP FUNCTION once();
DROP TABLE scratch;
--> finds
expand
--> postgres
