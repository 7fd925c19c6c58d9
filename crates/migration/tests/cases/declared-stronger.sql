--> migration
-- tend: irreversible -- the old code pays twice after this
CREATE TABLE paid (id bigint);
--> finds
irreversible
