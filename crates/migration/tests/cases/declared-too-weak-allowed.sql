--> migration
-- tend: expand
-- tend: allow class-too-weak: no release ever read note
SET lock_timeout = '2s';
ALTER TABLE payments DROP COLUMN note;
--> finds
expand
