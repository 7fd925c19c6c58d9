-- tend: expand
-- Levels, members, cards and merchants.
--
-- SQLite has no schemas, so the guide's `app.transactions` is `app_transactions` here and `audit.event_log` is
-- `audit_event_log`; otherwise tables and columns are those of PostgreSQL.
-- Money is in minor units (cents), points are whole, times are milliseconds since 1970-01-01 UTC.

CREATE TABLE IF NOT EXISTS app_membership_levels (
    level      BIGINT  PRIMARY KEY,
    name       TEXT    NOT NULL,
    min_points BIGINT  NOT NULL,
    max_points BIGINT,                               -- inclusive; NULL is open
    discount   NUMERIC(4, 3) NOT NULL CHECK (discount > 0 AND discount <= 1),
    is_active  BOOLEAN NOT NULL DEFAULT TRUE
);

CREATE TABLE IF NOT EXISTS app_members (
    member_id  TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE IF NOT EXISTS app_member_cards (
    card_id    TEXT   PRIMARY KEY,
    member_id  TEXT   NOT NULL REFERENCES app_members (member_id),
    balance    BIGINT NOT NULL DEFAULT 0 CHECK (balance >= 0),  -- the sum of the card's ledger entries
    points     BIGINT NOT NULL DEFAULT 0 CHECK (points >= 0),   -- the sum of the card's point entries
    created_at BIGINT NOT NULL
);
CREATE INDEX IF NOT EXISTS idx_member_cards_member ON app_member_cards (member_id);

CREATE TABLE IF NOT EXISTS app_merchants (
    merchant_id TEXT PRIMARY KEY,
    name        TEXT NOT NULL,
    created_at  BIGINT NOT NULL
);

-- The guide's levels.
INSERT INTO app_membership_levels (level, name, min_points, max_points, discount, is_active) VALUES
    (0, '普通會員', 0, 999, 1.000, TRUE),
    (1, '銀卡會員', 1000, 4999, 0.950, TRUE),
    (2, '金卡會員', 5000, 9999, 0.900, TRUE),
    (3, '鑽石會員', 10000, NULL, 0.850, TRUE)
ON CONFLICT (level) DO NOTHING;
