--> migration
-- +goose NO TRANSACTION
-- +goose Up
CREATE INDEX CONCURRENTLY payments_user ON payments (user_id);
CREATE INDEX CONCURRENTLY payments_amount ON payments (amount);
-- +goose Down
DROP INDEX payments_user;
DROP INDEX payments_amount;
--> finds
expand
