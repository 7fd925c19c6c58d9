--> migration
-- tend: allow everything: please
-- tend: allow index-without-concurrently
SET lock_timeout = '2s';
CREATE INDEX ON payments (id);
--> finds
expand
1 allow-unknown
2 allow-unknown
4 index-without-concurrently
