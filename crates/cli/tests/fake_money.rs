//! What the daemon with canned answers says of idempotency keys.

use tend_api::messages::MoneyKey;

use crate::fake::AT;

/// One key that is in doubt, and one that is answered where more is asked for.
pub(crate) fn keys(query: &tend_api::MoneyQuery) -> Vec<MoneyKey> {
    let doubt = MoneyKey {
        id: "8e03978e40d5".to_owned(),
        key: "order-7".to_owned(),
        service: "mps/api".to_owned(),
        method: "POST".to_owned(),
        path: "/payments".to_owned(),
        request_id: "4f2a9c1".to_owned(),
        state: "in doubt".to_owned(),
        begun_at: AT,
        why: Some("the replica was lost before it had answered".to_owned()),
        status: None,
        body: None,
        expires_at: None,
        replica: None,
    };
    let answered = MoneyKey {
        id: "11d2f0aa95b1".to_owned(),
        key: "order-6".to_owned(),
        state: "answered".to_owned(),
        why: None,
        status: Some(201),
        body: query.key.is_some().then(|| "{\"payment\":6}".to_owned()),
        expires_at: Some(AT),
        replica: Some("mps/api/1".to_owned()),
        ..doubt.clone()
    };
    match (&query.key, query.all) {
        (Some(_), _) => vec![answered],
        (None, true) => vec![doubt, answered],
        (None, false) => vec![doubt],
    }
}
