-- tend: expand
-- The codes that cards are charged by.

-- One row a card: its one live code, or the last one it had. The code itself is never stored, only its SHA-256.
CREATE TABLE IF NOT EXISTS app_card_qr_state (
    card_id    TEXT   PRIMARY KEY REFERENCES app_member_cards (card_id),
    qr_id      TEXT   NOT NULL,
    qr_hash    TEXT   NOT NULL UNIQUE,
    issued_at  BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    ended_at   BIGINT                                  -- when it was used or found expired; NULL while live
);

-- Every code ever issued and how it ended.
CREATE TABLE IF NOT EXISTS app_card_qr_history (
    qr_id      TEXT   PRIMARY KEY,
    card_id    TEXT   NOT NULL,
    qr_hash    TEXT   NOT NULL,
    issued_at  BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    ended_at   BIGINT,
    ended_by   TEXT CHECK (ended_by IN ('used', 'expired', 'replaced'))
) WITHOUT ROWID;
