//! Two users of PostgreSQL: members of one role that owns everything. Decides no order.

use tend_base::Secret;

use crate::postgres::Connection;
use crate::settings::literal;
use crate::{Address, DatabaseError, Obstacle, UserPair};

pub(super) struct Users {
    connection: Connection,
    pub(super) at: String,
}

/// Returns the name of a role as SQL. Unlike that of a table it has no parts.
fn role(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl Users {
    pub(super) async fn connect(admin: &Address) -> Result<Self, DatabaseError> {
        Ok(Self {
            connection: Connection::open(admin).await?,
            at: admin.to_string(),
        })
    }

    async fn is_so(&self, what: &str, condition: &str) -> Result<bool, DatabaseError> {
        let sql = format!("SELECT CASE WHEN {condition} THEN 1 ELSE 0 END");
        Ok(self.connection.text(what, &sql).await?.as_deref() == Some("1"))
    }

    pub(super) async fn obstacles(&mut self, pair: &UserPair) -> Result<Vec<Obstacle>, DatabaseError> {
        let (old, new, owner) = (literal(&pair.old), literal(&pair.new), literal(&pair.owner));
        let role_where =
            |name: &str, what: &str| format!("EXISTS (SELECT 1 FROM pg_roles WHERE rolname = {name} AND {what})");
        let depends = |user: &str, kinds: &str| {
            format!(
                "EXISTS (SELECT 1 FROM pg_shdepend d JOIN pg_roles r ON r.oid = d.refobjid \
                 WHERE d.refclassid = 'pg_authid'::regclass AND r.rolname = {user} AND d.deptype IN ({kinds}) \
                 AND NOT (d.deptype = 'a' AND d.classid = 'pg_auth_members'::regclass))"
            )
        };
        let member = |user: &str| {
            format!(
                "EXISTS (SELECT 1 FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid JOIN pg_roles u ON u.oid = m.member \
                 WHERE r.rolname = {owner} AND u.rolname = {user})"
            )
        };
        let (o, n, w) = (role(&pair.old), role(&pair.new), role(&pair.owner));
        let checks = [
            (
                format!("NOT {}", role_where("current_user", "(rolsuper OR rolcreaterole)")),
                "the user of tend may not make users".to_owned(),
                "ALTER ROLE … CREATEROLE, or name a superuser".to_owned(),
            ),
            (
                format!("current_user IN ({old}, {new})"),
                "the user of tend is one of the two it rotates".to_owned(),
                "give tend a user of its own".to_owned(),
            ),
            (
                format!("NOT {}", role_where(&old, "rolcanlogin")),
                format!("`{}` is not there or may not log in", pair.old),
                "is this the user in use?".to_owned(),
            ),
            (
                role_where(&old, "rolsuper"),
                format!("`{}` is a superuser", pair.old),
                format!("a service needs none: ALTER ROLE {o} NOSUPERUSER"),
            ),
            (
                format!("NOT {}", role_where(&owner, "true")),
                format!("there is no role `{}` that both are members of", pair.owner),
                format!("CREATE ROLE {w} NOLOGIN; GRANT {w} TO {o}; REASSIGN OWNED BY {o} TO {w}"),
            ),
            (
                role_where(&owner, "rolcanlogin"),
                format!("`{}` may log in: its password would not be rotated", pair.owner),
                format!("ALTER ROLE {w} NOLOGIN"),
            ),
            (
                format!("{} AND NOT {}", role_where(&owner, "true"), member(&old)),
                format!("`{}` is no member of `{}`", pair.old, pair.owner),
                format!("GRANT {w} TO {o}"),
            ),
            (
                format!("{} OR {}", depends(&old, "'o'"), depends(&new, "'o'")),
                "one of the two owns tables or other things that the other could not change".to_owned(),
                format!("REASSIGN OWNED BY {o} TO {w}; ALTER ROLE {o} SET role = {w} (in each database)"),
            ),
            (
                format!("{} OR {}", depends(&old, "'a', 'r'"), depends(&new, "'a', 'r'")),
                "rights were granted to one of the two itself, which the other has not".to_owned(),
                format!("grant them to {w}, and revoke them from {o} and {n}"),
            ),
            (
                format!(
                    "{} AND NOT EXISTS (SELECT 1 FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = s.setrole \
                     WHERE r.rolname = {old} AND {} = ANY (s.setconfig))",
                    role_where(&owner, "true"),
                    literal(&format!("role={}", pair.owner)),
                ),
                format!("what `{}` makes would belong to itself", pair.old),
                format!("ALTER ROLE {o} SET role = {w}"),
            ),
        ];
        let mut obstacles = Vec::new();
        for (condition, what, remedy) in checks {
            if self.is_so("tell of its users", &condition).await? {
                obstacles.push(Obstacle { what, remedy });
            }
        }
        Ok(obstacles)
    }

    pub(super) async fn prepare(&mut self, pair: &UserPair, password: &Secret) -> Result<(), DatabaseError> {
        let (old, new) = (literal(&pair.old), literal(&pair.new));
        // Nobody sees a user that is half made: it is one transaction.
        let mut sql = vec![
            "BEGIN".to_owned(),
            format!(
                "DO $tend$ BEGIN IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = {new}) THEN CREATE ROLE {}; END IF; END $tend$",
                role(&pair.new)
            ),
        ];
        let attributes = format!(
            "SELECT concat_ws(' ', CASE WHEN rolinherit THEN 'INHERIT' ELSE 'NOINHERIT' END, \
             CASE WHEN rolcreatedb THEN 'CREATEDB' ELSE 'NOCREATEDB' END, 'CONNECTION LIMIT ' || rolconnlimit) \
             FROM pg_roles WHERE rolname = {old}"
        );
        let attributes = self
            .connection
            .text("tell of its users", &attributes)
            .await?
            .unwrap_or_default();
        sql.push(format!(
            "ALTER ROLE {} {attributes} VALID UNTIL 'infinity'",
            role(&pair.new)
        ));
        let memberships = format!(
            "SELECT 'GRANT ' || quote_ident(r.rolname) || ' TO ' || quote_ident({new}) || CASE WHEN m.admin_option THEN ' WITH ADMIN OPTION' ELSE '' END \
             FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid JOIN pg_roles u ON u.oid = m.member WHERE u.rolname = {old}"
        );
        sql.extend(self.texts(&memberships).await?);
        sql.push(format!("ALTER ROLE {} RESET ALL", role(&pair.new)));
        // `role` is a name; every other setting is taken over as it is stored, through the parameter itself.
        let settings = format!(
            "SELECT CASE WHEN k = 'role' THEN 'ALTER ROLE ' || quote_ident({new}) || db || ' SET role = ' || quote_ident(v) \
             ELSE 'SELECT set_config(' || quote_literal(k) || ', ' || quote_literal(v) || ', true); ALTER ROLE ' || quote_ident({new}) || db || ' SET ' || k || ' FROM CURRENT' END \
             FROM (SELECT split_part(c, '=', 1) k, substr(c, strpos(c, '=') + 1) v, \
               coalesce(' IN DATABASE ' || quote_ident(d.datname), '') db \
               FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = s.setrole LEFT JOIN pg_database d ON d.oid = s.setdatabase, unnest(s.setconfig) c \
               WHERE r.rolname = {old}) x ORDER BY k"
        );
        sql.extend(self.texts(&settings).await?);
        sql.push(login_sql(&pair.new, password));
        sql.push("COMMIT".to_owned());
        self.change("prepare the other user", &sql.join(";\n")).await
    }

    async fn texts(&self, sql: &str) -> Result<Vec<String>, DatabaseError> {
        let sets = self.connection.simple("tell of its users", sql).await?;
        let rows = sets.into_iter().flatten();
        Ok(rows.filter_map(|row| row.get(0).map(str::to_owned)).collect())
    }

    /// After a statement of a transaction failed, the connection is fit for the next act again.
    async fn change(&self, what: &str, sql: &str) -> Result<(), DatabaseError> {
        let changed = self.connection.simple(what, sql).await;
        if changed.is_err() {
            // There may be no transaction, or no connection; the error above is the one to tell.
            let _ = self.connection.simple("roll back", "ROLLBACK").await;
        }
        changed.map(drop)
    }

    pub(super) async fn unlock(&mut self, user: &str, password: &Secret) -> Result<(), DatabaseError> {
        self.change("let a user log in", &login_sql(user, password)).await
    }

    pub(super) async fn lock(&mut self, user: &str) -> Result<(), DatabaseError> {
        let sql = format!(
            "DO $tend$ BEGIN IF EXISTS (SELECT 1 FROM pg_roles WHERE rolname = {}) THEN ALTER ROLE {} NOLOGIN PASSWORD NULL; END IF; END $tend$",
            literal(user),
            role(user)
        );
        self.change("lock a user", &sql).await
    }

    pub(super) async fn sessions(&mut self, user: &str) -> Result<u64, DatabaseError> {
        let sql = format!(
            "SELECT count(*) FROM pg_stat_activity WHERE usename = {}",
            literal(user)
        );
        let count = self.connection.text("count sessions", &sql).await?;
        Ok(count.and_then(|count| count.parse().ok()).unwrap_or(u64::MAX))
    }
}

/// The server gets what it would store anyhow, and never the password: nothing is in its logs, nor in pg_stat_activity.
fn login_sql(user: &str, password: &Secret) -> String {
    let verifier = postgres_protocol::password::scram_sha_256(password.expose().as_bytes());
    format!("ALTER ROLE {} LOGIN PASSWORD {}", role(user), literal(&verifier))
}
