-- tend: expand
-- Stored outcomes and the audit log.

CREATE SCHEMA IF NOT EXISTS audit;

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
