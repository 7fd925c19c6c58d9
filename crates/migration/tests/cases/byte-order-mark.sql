--> migration
﻿CREATE TABLE a (id int);
--> finds
expand
