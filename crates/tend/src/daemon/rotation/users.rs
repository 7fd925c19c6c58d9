//! Which two users of a database take turns, by the address of the one in use. Pure.
//!
//! The address of a database is one secret, user and password in it: another user is another address.

use tend_base::Secret;

/// The endings of the two users.
const ENDINGS: [&str; 2] = ["_a", "_b"];

/// The ending of the role that both are members of.
const OWNER: &str = "_owner";

/// Two users of a database.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Users {
    pub(super) old: String,
    pub(super) new: String,
    /// PostgreSQL: the role both are members of.
    pub(super) owner: String,
}

/// Returns the users by the name of the one in use: `shop_a` takes turns with `shop_b`, and both are members of `shop_owner`.
///
/// # Errors
/// Why the name is none of a pair, for a person.
pub(super) fn of(old: &str) -> Result<Users, String> {
    for [ending, other] in [ENDINGS, [ENDINGS[1], ENDINGS[0]]] {
        if let Some(stem) = old.strip_suffix(ending).filter(|stem| !stem.is_empty()) {
            return Ok(Users {
                old: old.to_owned(),
                new: format!("{stem}{other}"),
                owner: format!("{stem}{OWNER}"),
            });
        }
    }
    Err(format!(
        "the user `{old}` is none of a pair: two users take turns whose names end in `_a` and `_b`"
    ))
}

/// Returns an address with another user and password; nothing when it names no user. The password must need no escaping.
pub(super) fn address(old: &Secret, user: &str, password: &Secret) -> Option<Secret> {
    let text = old.expose().trim();
    let (scheme, rest) = text.split_once("://")?;
    // A password may have an `@` in it where somebody did not escape it; the last one before the path counts, as for drivers.
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (_, place) = rest.get(..end)?.rsplit_once('@')?;
    let tail = rest.get(end..)?;
    Some(Secret::new(format!(
        "{scheme}://{user}:{}@{place}{tail}",
        password.expose()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_users_take_turns() {
        let users = of("shop_a").unwrap();
        assert_eq!((users.new.as_str(), users.owner.as_str()), ("shop_b", "shop_owner"));
        assert_eq!(of("shop_b").unwrap().new, "shop_a");
        for none in ["shop", "_a", ""] {
            assert!(of(none).is_err(), "{none}");
        }
    }

    #[test]
    fn an_address_is_the_same_but_for_its_user() {
        let secret = |text: &str| Secret::new(text.to_owned());
        for (old, new) in [
            (
                "postgres://shop_a:old@db/shop?sslmode=require",
                "postgres://shop_b:next@db/shop?sslmode=require",
            ),
            (
                "postgresql://shop_a@/shop?host=/run",
                "postgresql://shop_b:next@/shop?host=/run",
            ),
            (
                "mysql://shop_a:o%40l@d:1@127.0.0.1:3306/shop",
                "mysql://shop_b:next@127.0.0.1:3306/shop",
            ),
            ("postgres://shop_a:old@db", "postgres://shop_b:next@db"),
        ] {
            let address = address(&secret(old), "shop_b", &secret("next")).unwrap();
            assert_eq!(address.expose(), new);
        }
        for none in ["postgres://db/shop", "shop.db", "postgres:///shop?user=a@b"] {
            assert!(address(&secret(none), "shop_b", &secret("next")).is_none(), "{none}");
        }
    }
}
