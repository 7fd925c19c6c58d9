//! The rules, each with its reason and the facts about PostgreSQL that it rests on.
//!
//! Owns names, severities and reasons. What is found, `lint` and `class` decide.
//!
//! The facts are those of the PostgreSQL manual (ALTER TABLE, CREATE INDEX, Explicit Locking); `tests/cases` shows each on a
//! running server: which tables it rewrites, which it reads through, and which locks it holds.

use serde::{Serialize, Serializer};

use crate::Severity;

macro_rules! rules {
    ($($variant:ident $id:literal $severity:ident $why:literal,)*) => {
        /// A rule, by its name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Rule {
            $(#[doc = $why] $variant,)*
        }

        impl Rule {
            /// Every rule.
            pub const ALL: &[Rule] = &[$(Rule::$variant,)*];

            /// Returns its name, as it stands in `-- tend: allow NAME: why`.
            #[must_use]
            pub fn id(self) -> &'static str {
                match self { $(Rule::$variant => $id,)* }
            }

            /// Returns how bad breaking it is.
            #[must_use]
            pub fn severity(self) -> Severity {
                match self { $(Rule::$variant => Severity::$severity,)* }
            }

            /// Returns why there is such a rule.
            #[must_use]
            pub fn why(self) -> &'static str {
                match self { $(Rule::$variant => $why,)* }
            }
        }
    };
}

rules! {
    IndexWithoutConcurrently "index-without-concurrently" Error
        "CREATE INDEX holds SHARE: nobody can write to the table until the index is built. CONCURRENTLY holds SHARE UPDATE EXCLUSIVE, which lets writers go on.",
    ConcurrentlyInTransaction "concurrently-in-transaction" Error
        "CONCURRENTLY commits several times by itself, so PostgreSQL refuses it inside a transaction.",
    ConcurrentlyNotAlone "concurrently-not-alone" Warning
        "Migration tools send a file as one transaction, in which PostgreSQL refuses CONCURRENTLY.",
    VolatileDefault "volatile-default" Error
        "A column whose default differs from row to row (a volatile function, serial, identity, a stored generated column) makes PostgreSQL rewrite the table under ACCESS EXCLUSIVE. Since 11 a constant default, or one that is the same for the whole statement such as now(), rewrites nothing.",
    UnknownDefault "unknown-default" Warning
        "A function is volatile unless it was declared otherwise, and a volatile default rewrites the table.",
    NotNullWithoutDefault "not-null-without-default" Error
        "A NOT NULL column without default cannot be added to a table that has rows, and the release before cannot insert into it.",
    TypeChangeRewrites "type-change-rewrites" Error
        "ALTER COLUMN TYPE holds ACCESS EXCLUSIVE, and rewrites the table and its indexes unless the old type is binary coercible to the new one.",
    TypeChangeMayRewrite "type-change-may-rewrite" Warning
        "Of a type change only few rewrite nothing: varchar to text or a longer varchar (since 9.2), numeric to a larger precision of the same scale (since 9.2), timestamp to timestamptz where the time zone is UTC (since 12).",
    SetNotNullScans "set-not-null-scans" Error
        "SET NOT NULL reads the whole table under ACCESS EXCLUSIVE. Since 12 it reads nothing where a validated CHECK (column IS NOT NULL) proves it.",
    ForeignKeyValidates "foreign-key-validates" Error
        "ADD FOREIGN KEY holds SHARE ROW EXCLUSIVE on both tables while every row is looked up: nobody can write to either. NOT VALID looks up none; VALIDATE CONSTRAINT does it later under SHARE UPDATE EXCLUSIVE.",
    CheckValidates "check-validates" Error
        "ADD CHECK reads the whole table under ACCESS EXCLUSIVE. NOT VALID reads nothing; VALIDATE CONSTRAINT does it later under SHARE UPDATE EXCLUSIVE.",
    ValidatedAtOnce "validated-at-once" Warning
        "VALIDATE CONSTRAINT in the transaction that added the constraint runs under the lock of ADD CONSTRAINT, which is kept until the commit: nothing is won by NOT VALID.",
    UniqueBuildsIndex "unique-builds-index" Error
        "ADD UNIQUE, PRIMARY KEY or EXCLUDE builds its index under ACCESS EXCLUSIVE: nobody can read or write until it is built. USING INDEX takes one that was built CONCURRENTLY.",
    MovesTable "moves-table" Error
        "SET LOGGED, SET UNLOGGED, SET TABLESPACE and SET ACCESS METHOD (since 15) write the whole table anew under ACCESS EXCLUSIVE.",
    VacuumFull "vacuum-full" Error
        "VACUUM FULL writes the whole table anew under ACCESS EXCLUSIVE.",
    Cluster "cluster" Error
        "CLUSTER writes the whole table anew under ACCESS EXCLUSIVE.",
    ReindexWithoutConcurrently "reindex-without-concurrently" Error
        "REINDEX locks out writers of the table, and readers that would use the index. REINDEX CONCURRENTLY exists since 12.",
    RefreshWithoutConcurrently "refresh-without-concurrently" Warning
        "REFRESH MATERIALIZED VIEW holds ACCESS EXCLUSIVE on the view while its query runs. CONCURRENTLY lets readers go on, given a unique index.",
    DropIndexWithoutConcurrently "drop-index-without-concurrently" Warning
        "DROP INDEX needs ACCESS EXCLUSIVE on the table: while it waits for a long query, everybody else waits behind it.",
    DetachWithoutConcurrently "detach-without-concurrently" Warning
        "DETACH PARTITION holds ACCESS EXCLUSIVE on the parent; CONCURRENTLY exists since 14.",
    AttachScans "attach-scans" Warning
        "ATTACH PARTITION reads the new partition through under ACCESS EXCLUSIVE on it, unless a CHECK on it proves its bounds.",
    LockTable "lock-table" Error
        "LOCK TABLE without a mode is ACCESS EXCLUSIVE: nobody can read or write until the commit.",
    NoLockTimeout "no-lock-timeout" Warning
        "A statement that waits for a strong lock makes everybody who comes after it wait too, behind the slowest query. lock_timeout lets it give up, so that the migration can be tried again.",
    SeveralTables "several-tables" Warning
        "Locks are kept until the commit: a transaction that changes several tables holds the first while it waits for the next, and may deadlock with the service.",
    WholeTableWrite "whole-table-write" Warning
        "UPDATE or DELETE without WHERE locks every row until the commit and writes a new version of each.",
    ClassTooWeak "class-too-weak" Error
        "The class decides whether a rollback is safe; a weaker one than the statements show would promise a way back that is not there.",
    ClassUnseen "class-unseen" Warning
        "What a DO block, a procedure or an included file does cannot be read from the statement; without a declaration it counts as contract.",
    ClassUnknown "class-unknown" Error
        "A declaration is `-- tend: expand`, `contract` or `irreversible`, before the first statement, and there is one.",
    AllowUnknown "allow-unknown" Error
        "An exception is `-- tend: allow RULE: why`, with a rule that exists and a reason for who reads it later.",
    Unclosed "unclosed" Error
        "A string, comment, quoted name or parenthesis that is not closed swallows the statements after it.",
}

impl Serialize for Rule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}
