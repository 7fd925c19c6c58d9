--> migration
-- DROP TABLE a;
/* DROP /* TABLE */ a; */
INSERT INTO notes VALUES ('; DROP TABLE a;', E'\'; DROP TABLE a;', $x$; DROP TABLE a; $$ $x$);
CREATE TABLE "drop table a;" (id int);
CREATE FUNCTION f() RETURNS void BEGIN ATOMIC DELETE FROM a; END;
--> finds
expand
