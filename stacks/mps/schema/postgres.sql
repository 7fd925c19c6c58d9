-- mps on PostgreSQL. Applied at every start; every statement may be run again without effect.
--
-- Money is in minor units (cents), points are whole. The service writes and reads times through app.ts and app.ms, so
-- that the columns are ordinary timestamps to everyone else's SQL.

CREATE SCHEMA IF NOT EXISTS app;
CREATE SCHEMA IF NOT EXISTS audit;

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

CREATE TABLE IF NOT EXISTS app.merchants (
    merchant_id TEXT PRIMARY KEY,
    name        TEXT NOT NULL,
    created_at  TIMESTAMPTZ NOT NULL
);

-- One row a card: its one live code, or the last one it had. The code itself is never stored, only its SHA-256.
CREATE TABLE IF NOT EXISTS app.card_qr_state (
    card_id    TEXT   PRIMARY KEY REFERENCES app.member_cards (card_id),
    qr_id      TEXT   NOT NULL,
    qr_hash    TEXT   NOT NULL UNIQUE,
    issued_at  TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL,
    ended_at   TIMESTAMPTZ                                  -- when it was used or found expired; NULL while live
);

-- Every code ever issued and how it ended.
CREATE TABLE IF NOT EXISTS app.card_qr_history (
    qr_id      TEXT   PRIMARY KEY,
    card_id    TEXT   NOT NULL,
    qr_hash    TEXT   NOT NULL,
    issued_at  TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL,
    ended_at   TIMESTAMPTZ,
    ended_by   TEXT CHECK (ended_by IN ('used', 'expired', 'replaced'))
);

CREATE TABLE IF NOT EXISTS app.transactions (
    id                 TEXT   PRIMARY KEY,
    kind               TEXT   NOT NULL CHECK (kind IN ('payment', 'refund', 'recharge')),
    status             TEXT   NOT NULL CHECK (status IN ('completed', 'partially_refunded', 'refunded')),
    card_id            TEXT   NOT NULL REFERENCES app.member_cards (card_id),
    merchant_id        TEXT   REFERENCES app.merchants (merchant_id),   -- NULL for a recharge
    amount             BIGINT NOT NULL CHECK (amount > 0),              -- as asked for, before the discount
    discount_permille  BIGINT NOT NULL,
    paid               BIGINT NOT NULL CHECK (paid > 0),                -- what moved
    refunded           BIGINT NOT NULL DEFAULT 0 CHECK (refunded >= 0 AND refunded <= paid),
    points             BIGINT NOT NULL,                                 -- given (payment) or taken, negative (refund)
    payment_id         TEXT   REFERENCES app.transactions (id),         -- what a refund refunds
    qr_id              TEXT   UNIQUE,                                   -- the code that paid: one code, one payment
    idempotency_key    TEXT,
    created_at         TIMESTAMPTZ NOT NULL
);

-- Double entry: the lines of one transaction sum to zero.
CREATE TABLE IF NOT EXISTS app.ledger_entries (
    transaction_id TEXT   NOT NULL REFERENCES app.transactions (id),
    line           BIGINT NOT NULL,
    account        TEXT   NOT NULL,                  -- card:<card_id>, merchant:<merchant_id>, external:funding
    amount         BIGINT NOT NULL CHECK (amount <> 0),
    PRIMARY KEY (transaction_id, line)
);

CREATE TABLE IF NOT EXISTS app.point_entries (
    transaction_id TEXT   PRIMARY KEY REFERENCES app.transactions (id),
    card_id        TEXT   NOT NULL REFERENCES app.member_cards (card_id),
    points         BIGINT NOT NULL CHECK (points <> 0)
);

-- The first outcome under each key, written in the transaction that caused it.
CREATE TABLE IF NOT EXISTS app.idempotency_keys (
    idempotency_key TEXT   PRIMARY KEY,
    request_hash    TEXT   NOT NULL,                 -- SHA-256 over method, path and body
    status          BIGINT NOT NULL,
    response        TEXT   NOT NULL,
    created_at      TIMESTAMPTZ NOT NULL
);

CREATE TABLE IF NOT EXISTS audit.event_log (
    event_id       TEXT   PRIMARY KEY,
    happened_at    TIMESTAMPTZ NOT NULL,
    action         TEXT   NOT NULL,                  -- PAYMENT, REFUND, RECHARGE, QR_ROTATE, QR_EXPIRED, …
    outcome        TEXT   NOT NULL,                  -- completed, or the error code of a refusal
    card_id        TEXT,
    merchant_id    TEXT,
    transaction_id TEXT,
    amount         BIGINT,
    replica        TEXT   NOT NULL
);

CREATE INDEX IF NOT EXISTS idx_member_cards_member ON app.member_cards (member_id);
CREATE INDEX IF NOT EXISTS idx_transactions_composite ON app.transactions (kind, status, created_at);
CREATE INDEX IF NOT EXISTS idx_tx_card_time ON app.transactions (card_id, created_at);
CREATE INDEX IF NOT EXISTS idx_tx_merchant_time ON app.transactions (merchant_id, created_at);
CREATE INDEX IF NOT EXISTS idx_tx_refunds ON app.transactions (payment_id) WHERE payment_id IS NOT NULL;
CREATE INDEX IF NOT EXISTS idx_ledger_account ON app.ledger_entries (account, amount);

-- The guide's levels.
INSERT INTO app.membership_levels (level, name, min_points, max_points, discount, is_active) VALUES
    (0, '普通會員', 0, 999, 1.000, TRUE),
    (1, '銀卡會員', 1000, 4999, 0.950, TRUE),
    (2, '金卡會員', 5000, 9999, 0.900, TRUE),
    (3, '鑽石會員', 10000, NULL, 0.850, TRUE)
ON CONFLICT (level) DO NOTHING;
