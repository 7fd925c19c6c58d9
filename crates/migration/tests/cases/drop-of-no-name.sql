--> migration
DROP TABLE [users];
TRUNCATE;
--> finds
irreversible
