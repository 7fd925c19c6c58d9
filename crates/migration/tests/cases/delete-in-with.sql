--> migration
WITH gone AS (DELETE FROM payments RETURNING *)
INSERT INTO archive SELECT * FROM gone WHERE id > 0;
--> finds
irreversible
1 whole-table-write
