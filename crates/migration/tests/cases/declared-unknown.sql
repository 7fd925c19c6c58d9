--> migration
-- tend: expend
CREATE TABLE a (id int);
--> finds
expand
1 class-unknown
