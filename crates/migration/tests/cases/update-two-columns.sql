--> migration
UPDATE payments p SET (amount, note) = (1, 'x') FROM users u;
--> finds
irreversible
1 whole-table-write
