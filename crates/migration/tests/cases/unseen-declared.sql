--> migration
-- tend: expand: only fills new columns
DO $$ BEGIN PERFORM 1; END $$;
--> finds
expand
