--> migration
COPY users (id, name) FROM STDIN;
1	it's; DROP TABLE payments;
2	(
\.
CREATE INDEX ON users (id);
--> finds
expand
5 index-without-concurrently
5 no-lock-timeout
