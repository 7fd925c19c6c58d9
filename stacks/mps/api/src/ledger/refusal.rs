//! Why a request is refused: a stable code, the HTTP status it maps to, and a sentence for a person.

/// A request that the rules refuse. Nothing is wrong with the service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A field holds what no request may hold.
    #[error("`{field}` must be {expected}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What it may hold.
        expected: &'static str,
    },
    /// No such card.
    #[error("there is no card `{0}`")]
    CardNotFound(String),
    /// No such merchant.
    #[error("there is no merchant `{0}`")]
    MerchantNotFound(String),
    /// No such member.
    #[error("there is no member `{0}`")]
    MemberNotFound(String),
    /// No such transaction.
    #[error("there is no transaction `{0}`")]
    TransactionNotFound(String),
    /// The identifier is taken.
    #[error("`{0}` exists already")]
    AlreadyExists(String),
    /// No card has this code now: it was replaced by a newer one, or never issued.
    #[error("the code is not a live one: ask the member to show it anew")]
    QrUnknown,
    /// The code has paid already.
    #[error("the code has been used: each code pays once")]
    QrUsed,
    /// The code's time is over.
    #[error("the code has expired: ask the member to show a new one")]
    QrExpired,
    /// The card holds less than the payment.
    #[error("the card holds {balance}, the payment needs {needed} (minor units)")]
    InsufficientBalance {
        /// What the card holds.
        balance: i64,
        /// What the payment needs after the discount.
        needed: i64,
    },
    /// More than one payment may be now.
    #[error("a payment may be {max} at most at present (minor units)")]
    OverLimit {
        /// `limits.payment_amount_max`.
        max: i64,
    },
    /// Only payments are refunded.
    #[error("`{0}` is not a payment: only payments can be refunded")]
    NotAPayment(String),
    /// More than what is left of the payment.
    #[error("{left} of the payment can still be refunded, {asked} was asked for (minor units)")]
    RefundTooLarge {
        /// What is left.
        left: i64,
        /// What was asked for.
        asked: i64,
    },
    /// A money request without an Idempotency-Key.
    #[error("a request that moves money needs an `Idempotency-Key` header, so that it can be sent again safely")]
    KeyMissing,
    /// The key was used for another request.
    #[error("this Idempotency-Key was used with another request: use a new key")]
    KeyReused,
}

impl Refusal {
    /// Returns the stable code that clients and dashboards may rely on.
    pub fn code(&self) -> &'static str {
        match self {
            Refusal::Invalid { .. } => "invalid_request",
            Refusal::CardNotFound(_) => "card_not_found",
            Refusal::MerchantNotFound(_) => "merchant_not_found",
            Refusal::MemberNotFound(_) => "member_not_found",
            Refusal::TransactionNotFound(_) => "transaction_not_found",
            Refusal::AlreadyExists(_) => "already_exists",
            Refusal::QrUnknown => "qr_unknown",
            Refusal::QrUsed => "qr_used",
            Refusal::QrExpired => "qr_expired",
            Refusal::InsufficientBalance { .. } => "insufficient_balance",
            Refusal::OverLimit { .. } => "amount_over_limit",
            Refusal::NotAPayment(_) => "not_a_payment",
            Refusal::RefundTooLarge { .. } => "refund_too_large",
            Refusal::KeyMissing => "idempotency_key_missing",
            Refusal::KeyReused => "idempotency_key_reused",
        }
    }

    /// Returns the HTTP status of the answer.
    pub fn status(&self) -> u16 {
        match self {
            Refusal::Invalid { .. } | Refusal::KeyMissing => 400,
            Refusal::InsufficientBalance { .. } => 402,
            Refusal::CardNotFound(_)
            | Refusal::MerchantNotFound(_)
            | Refusal::MemberNotFound(_)
            | Refusal::TransactionNotFound(_)
            | Refusal::QrUnknown => 404,
            Refusal::AlreadyExists(_) | Refusal::QrUsed | Refusal::NotAPayment(_) | Refusal::RefundTooLarge { .. } => {
                409
            }
            Refusal::QrExpired => 410,
            Refusal::KeyReused | Refusal::OverLimit { .. } => 422,
        }
    }
}
