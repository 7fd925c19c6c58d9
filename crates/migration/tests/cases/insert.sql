--> given
CREATE TABLE users (id int PRIMARY KEY, name text);
INSERT INTO users SELECT n, 'n' FROM generate_series(1, 100) n;
--> migration
INSERT INTO users VALUES (101, 'x') ON CONFLICT (id) DO UPDATE SET name = 'y';
COPY users (id, name) FROM '/dev/null';
--> finds
expand
--> postgres
