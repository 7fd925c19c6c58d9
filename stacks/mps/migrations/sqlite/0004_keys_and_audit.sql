-- tend: expand
-- Stored outcomes and the audit log.

-- The first outcome under each key, written in the transaction that caused it.
CREATE TABLE IF NOT EXISTS app_idempotency_keys (
    idempotency_key TEXT   PRIMARY KEY,
    request_hash    TEXT   NOT NULL,                 -- SHA-256 over method, path and body
    status          BIGINT NOT NULL,
    response        TEXT   NOT NULL,
    created_at      BIGINT NOT NULL
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS audit_event_log (
    event_id       TEXT   PRIMARY KEY,
    happened_at    BIGINT NOT NULL,
    action         TEXT   NOT NULL,                  -- PAYMENT, REFUND, RECHARGE, QR_ROTATE, QR_EXPIRED, …
    outcome        TEXT   NOT NULL,                  -- completed, or the error code of a refusal
    card_id        TEXT,
    merchant_id    TEXT,
    transaction_id TEXT,
    amount         BIGINT,
    replica        TEXT   NOT NULL
) WITHOUT ROWID;
