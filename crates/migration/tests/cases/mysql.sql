--> migration
ALTER TABLE `payments` MODIFY COLUMN `note` varchar(10) NOT NULL;
DROP TABLE `users`;
TRUNCATE `logins`;
--> finds
irreversible
1 no-lock-timeout
2 several-tables
