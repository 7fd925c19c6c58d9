--> migration
PRAGMA foreign_keys = ON;
CREATE TRIGGER gone AFTER DELETE ON users BEGIN DELETE FROM logins; UPDATE totals SET n = n - 1; END;
CREATE TABLE more (id INTEGER PRIMARY KEY);
--> finds
expand
2 no-lock-timeout
