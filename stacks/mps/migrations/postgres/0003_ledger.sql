-- tend: expand
-- Transactions and their double entries.

-- A reference locks the table it refers to against writing. Rather than have payments queue behind it, this gives up.
SET LOCAL lock_timeout = '5s';

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
CREATE INDEX IF NOT EXISTS idx_transactions_composite ON app.transactions (kind, status, created_at);
CREATE INDEX IF NOT EXISTS idx_tx_card_time ON app.transactions (card_id, created_at);
CREATE INDEX IF NOT EXISTS idx_tx_merchant_time ON app.transactions (merchant_id, created_at);
CREATE INDEX IF NOT EXISTS idx_tx_refunds ON app.transactions (payment_id) WHERE payment_id IS NOT NULL;

-- Double entry: the lines of one transaction sum to zero.
CREATE TABLE IF NOT EXISTS app.ledger_entries (
    transaction_id TEXT   NOT NULL REFERENCES app.transactions (id),
    line           BIGINT NOT NULL,
    account        TEXT   NOT NULL,                  -- card:<card_id>, merchant:<merchant_id>, external:funding
    amount         BIGINT NOT NULL CHECK (amount <> 0),
    PRIMARY KEY (transaction_id, line)
);
CREATE INDEX IF NOT EXISTS idx_ledger_account ON app.ledger_entries (account, amount);

CREATE TABLE IF NOT EXISTS app.point_entries (
    transaction_id TEXT   PRIMARY KEY REFERENCES app.transactions (id),
    card_id        TEXT   NOT NULL REFERENCES app.member_cards (card_id),
    points         BIGINT NOT NULL CHECK (points <> 0)
);
