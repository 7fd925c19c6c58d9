--> given
CREATE VIEW report AS SELECT 1 AS a;
--> migration
CREATE OR REPLACE VIEW report AS SELECT 1 AS a, 2 AS b;
DROP VIEW report;
--> finds
contract
--> postgres
