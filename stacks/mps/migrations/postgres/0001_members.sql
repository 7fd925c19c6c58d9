-- tend: expand
-- Levels, members, cards and merchants.
--
-- Money is in minor units (cents), points are whole. The service writes and reads times through app.ts and app.ms, so
-- that the columns are ordinary timestamps to everyone else's SQL.

CREATE SCHEMA IF NOT EXISTS app;

CREATE OR REPLACE FUNCTION app.ts(ms BIGINT) RETURNS TIMESTAMPTZ LANGUAGE SQL IMMUTABLE PARALLEL SAFE
    RETURN TIMESTAMPTZ 'epoch' + ms * INTERVAL '1 millisecond';
CREATE OR REPLACE FUNCTION app.ms(at TIMESTAMPTZ) RETURNS BIGINT LANGUAGE SQL IMMUTABLE PARALLEL SAFE
    RETURN CAST(round(EXTRACT(EPOCH FROM at) * 1000) AS BIGINT);

CREATE TABLE IF NOT EXISTS app.membership_levels (
    level      BIGINT  PRIMARY KEY,
    name       TEXT    NOT NULL,
    min_points BIGINT  NOT NULL,
    max_points BIGINT,                               -- inclusive; NULL is open
    discount   NUMERIC(4, 3) NOT NULL CHECK (discount > 0 AND discount <= 1),
    is_active  BOOLEAN NOT NULL DEFAULT TRUE
);

CREATE TABLE IF NOT EXISTS app.members (
    member_id  TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE IF NOT EXISTS app.member_cards (
    card_id    TEXT   PRIMARY KEY,
    member_id  TEXT   NOT NULL REFERENCES app.members (member_id),
    balance    BIGINT NOT NULL DEFAULT 0 CHECK (balance >= 0),  -- the sum of the card's ledger entries
    points     BIGINT NOT NULL DEFAULT 0 CHECK (points >= 0),   -- the sum of the card's point entries
    created_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX IF NOT EXISTS idx_member_cards_member ON app.member_cards (member_id);

CREATE TABLE IF NOT EXISTS app.merchants (
    merchant_id TEXT PRIMARY KEY,
    name        TEXT NOT NULL,
    created_at  TIMESTAMPTZ NOT NULL
);

-- The guide's levels.
INSERT INTO app.membership_levels (level, name, min_points, max_points, discount, is_active) VALUES
    (0, '普通會員', 0, 999, 1.000, TRUE),
    (1, '銀卡會員', 1000, 4999, 0.950, TRUE),
    (2, '金卡會員', 5000, 9999, 0.900, TRUE),
    (3, '鑽石會員', 10000, NULL, 0.850, TRUE)
ON CONFLICT (level) DO NOTHING;
