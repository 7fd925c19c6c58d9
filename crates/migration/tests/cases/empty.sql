--> migration
-- nothing yet
--> finds
expand
