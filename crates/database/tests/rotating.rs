//! The password of a database is rotated for real, by the machine of tend-rotation and the acts of this crate, while holders of it log in
//! again and again: none is refused, and the old password is afterwards.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tend_base::{Secret, SystemClock};
use tend_database::{Address, DatabaseError, Login, TwoUsers, UserPair};
use tend_rotation::{
    Act, Answer, Class, Give, Held, HolderId, Next, Observation, Order, Outcome, Patience, Rotation, Standing, Step,
    Which,
};

use crate::servers::{DEADLINE, Mariadb, PASSWORD, Postgres};

/// What a holder was given, and what it logs in with at this moment.
struct Holder {
    given: Mutex<Which>,
    held: Mutex<Which>,
    logins: AtomicU64,
    refused: Mutex<Option<String>>,
    stop: AtomicBool,
}

/// Logs in again and again with what it was given.
async fn hold(holder: Arc<Holder>, places: Arc<[Address; 2]>) {
    while !holder.stop.load(Ordering::Relaxed) {
        let which = *holder.given.lock().unwrap();
        *holder.held.lock().unwrap() = which;
        match TwoUsers::try_login(&places[usize::from(which == Which::New)]).await {
            Ok(Login::Accepted) => {
                holder.logins.fetch_add(1, Ordering::Relaxed);
            }
            Ok(Login::Refused(why)) => *holder.refused.lock().unwrap() = Some(why),
            Err(error) => *holder.refused.lock().unwrap() = Some(error.with_causes()),
        }
    }
}

/// A rotation between two users, and who holds their passwords.
struct Scene {
    admin: TwoUsers,
    pair: UserPair,
    /// The database as the old and as the new user.
    places: Arc<[Address; 2]>,
    passwords: [Secret; 2],
    holders: Vec<Arc<Holder>>,
}

impl Scene {
    async fn begin(admin: &Address, place: &Address, pair: UserPair, passwords: [&str; 2]) -> Self {
        let passwords = passwords.map(|password| Secret::new(password.to_owned()));
        let places = Arc::new([
            place.with_user(&pair.old, &passwords[0]),
            place.with_user(&pair.new, &passwords[1]),
        ]);
        let holders: Vec<Arc<Holder>> = (0..4)
            .map(|_| {
                Arc::new(Holder {
                    given: Mutex::new(Which::Old),
                    held: Mutex::new(Which::Old),
                    logins: AtomicU64::new(0),
                    refused: Mutex::new(None),
                    stop: AtomicBool::new(false),
                })
            })
            .collect();
        for holder in &holders {
            tokio::spawn(hold(holder.clone(), places.clone()));
        }
        Self {
            admin: TwoUsers::connect(admin).await.unwrap(),
            pair,
            places,
            passwords,
            holders,
        }
    }

    async fn act(&mut self, act: Act) -> Result<(), String> {
        let told = |error: DatabaseError| error.with_causes();
        let pair = self.pair.clone();
        let login = |login: Login, wanted: bool| match login {
            Login::Accepted if wanted => Ok(()),
            Login::Refused(_) if !wanted => Ok(()),
            other => Err(format!("{other:?}")),
        };
        match act {
            // Where secrets are kept is not this crate's.
            Act::Store | Act::Retire | Act::Discard => Ok(()),
            Act::Prepare => self.admin.prepare(&pair, &self.passwords[1]).await.map_err(told),
            Act::ProveNew => login(TwoUsers::try_login(&self.places[1]).await.map_err(told)?, true),
            Act::Revoke => self.admin.lock(&pair.old).await.map_err(told),
            Act::ProveOldRefused => login(TwoUsers::try_login(&self.places[0]).await.map_err(told)?, false),
            Act::Restore => self.admin.unlock(&pair.old, &self.passwords[0]).await.map_err(told),
            Act::ProveOldAccepted => login(TwoUsers::try_login(&self.places[0]).await.map_err(told)?, true),
            Act::Withdraw => self.admin.lock(&pair.new).await.map_err(told),
            Act::Reencrypt(_) => Err("nothing is encrypted here".to_owned()),
        }
    }

    async fn perform(&mut self, step: &Step) -> Outcome {
        let answer = |done: Result<(), String>| done.map_or_else(|why| Outcome::Failed { why }, |()| Outcome::Done);
        match step {
            Step::Act(act) => {
                // Twice: each act may be done again.
                let first = self.act(*act).await;
                if first.is_ok() {
                    answer(self.act(*act).await)
                } else {
                    answer(first)
                }
            }
            Step::Roll { holders, give } => {
                for HolderId(id) in holders {
                    *self.holders[id.parse::<usize>().unwrap()].given.lock().unwrap() = give.uses();
                }
                Outcome::Done
            }
            Step::Observe => {
                let counted = (
                    self.admin.sessions(&self.pair.old).await,
                    self.admin.sessions(&self.pair.new).await,
                );
                let held = |(number, holder): (usize, &Arc<Holder>)| {
                    let held = Held::These(Give::Only(*holder.held.lock().unwrap()));
                    (HolderId(number.to_string()), held)
                };
                Outcome::Seen(Observation {
                    holders: self.holders.iter().enumerate().map(held).collect(),
                    complete: true,
                    others_old: counted.0.ok(),
                    others_new: counted.1.ok(),
                })
            }
        }
    }

    /// Performs until the rotation ends or `until` says so; the state is written and read back between any two steps.
    async fn run(&mut self, rotation: &mut Rotation, mut until: impl FnMut(&Step) -> bool) {
        let work = async {
            loop {
                match rotation.next(SystemClock.mono()) {
                    Next::Ended => return,
                    Next::Wait(time) => tokio::time::sleep(time.since(SystemClock.mono())).await,
                    Next::Perform(id, step) => {
                        *rotation = serde_json::from_str(&serde_json::to_string(rotation).unwrap()).unwrap();
                        let outcome = self.perform(&step).await;
                        rotation.take(Answer { step: id, outcome }, SystemClock.mono());
                        if until(&step) {
                            return;
                        }
                    }
                }
            }
        };
        if tokio::time::timeout(DEADLINE, work).await.is_err() {
            panic!(
                "it does not end: {}",
                rotation.standing(SystemClock.mono() + Duration::from_secs(3600))
            );
        }
    }

    /// Ends the holders, who must all have been let in always.
    async fn end(self) -> Arc<[Address; 2]> {
        for (number, holder) in self.holders.iter().enumerate() {
            holder.stop.store(true, Ordering::Relaxed);
            assert_eq!(*holder.refused.lock().unwrap(), None, "holder {number} was refused");
            assert!(
                holder.logins.load(Ordering::Relaxed) > 0,
                "holder {number} never logged in"
            );
        }
        self.places
    }
}

fn order() -> Order {
    Order {
        secret: "database.password".to_owned(),
        old: 1,
        new: 2,
        class: Class::DatabaseTwoUsers,
        patience: Patience {
            look_every: Duration::from_millis(200),
            quiet: Duration::from_millis(300),
            retry_first: Duration::from_millis(50),
            ..Patience::default()
        },
        old_can_return: true,
    }
}

fn pair(old: &str, new: &str) -> UserPair {
    UserPair {
        old: old.to_owned(),
        new: new.to_owned(),
        owner: "shop owner".to_owned(),
    }
}

async fn refused(address: &Address) -> bool {
    matches!(TwoUsers::try_login(address).await, Ok(Login::Refused(_)))
}

const FIRST: &str = "first-3fK'\\\"%";
const SECOND: &str = "second-8gW'; DROP TABLE x; --\\";
const THIRD: &str = "third-0bV";

/// Rotates from a to b, back when told to in the middle, and from b to a again.
async fn rotate_there_and_back(admin: &Address, place: &Address) {
    let there = pair("shop_a", "shop_b");
    let mut scene = Scene::begin(admin, place, there.clone(), [FIRST, SECOND]).await;
    // Told to go back when the old one has just been locked.
    let mut rotation = Rotation::begin(order(), SystemClock.mono());
    scene.run(&mut rotation, |step| *step == Step::Act(Act::Revoke)).await;
    rotation.abort("not today", SystemClock.mono()).unwrap();
    scene.run(&mut rotation, |_| false).await;
    assert!(matches!(rotation.standing(SystemClock.mono()), Standing::Undone { .. }));
    assert!(refused(&scene.places[1]).await && !refused(&scene.places[0]).await);

    let mut rotation = Rotation::begin(order(), SystemClock.mono());
    scene.run(&mut rotation, |_| false).await;
    assert_eq!(rotation.standing(SystemClock.mono()), Standing::Done);
    let places = scene.end().await;
    assert!(refused(&places[0]).await && !refused(&places[1]).await);

    let mut scene = Scene::begin(admin, place, pair("shop_b", "shop_a"), [SECOND, THIRD]).await;
    let mut rotation = Rotation::begin(order(), SystemClock.mono());
    scene.run(&mut rotation, |_| false).await;
    assert_eq!(rotation.standing(SystemClock.mono()), Standing::Done);
    let places = scene.end().await;
    assert!(refused(&places[0]).await && !refused(&places[1]).await);
    assert!(refused(&place.with_user("shop_a", &Secret::new(FIRST.to_owned()))).await);
}

#[tokio::test]
async fn postgresql_under_load_refuses_nobody_but_the_old_password() {
    let server = Postgres::start();
    server.sql("postgres", "CREATE DATABASE shop");
    server.sql("shop", &format!("CREATE ROLE keeper LOGIN CREATEROLE PASSWORD 'keeper'; CREATE ROLE shop_a LOGIN PASSWORD '{}'; CREATE TABLE books (id int); ALTER TABLE books OWNER TO shop_a", FIRST.replace('\'', "''")));
    let (admin, place) = (
        server.url("keeper", "keeper", "shop"),
        server.url("boss", PASSWORD, "shop"),
    );
    // Everything that stands in the way is named, with what to do, before anything is touched.
    let mut users = TwoUsers::connect(&admin).await.unwrap();
    let found = users.obstacles(&pair("shop_a", "shop_b")).await.unwrap();
    let found: Vec<&str> = found.iter().map(|obstacle| obstacle.what.as_str()).collect();
    assert_eq!(
        found,
        [
            "there is no role `shop owner` that both are members of",
            "one of the two owns tables or other things that the other could not change",
        ]
    );
    let error = users
        .prepare(&pair("shop_a", "shop_b"), &Secret::new(SECOND.to_owned()))
        .await
        .unwrap_err();
    assert!(matches!(error, DatabaseError::NotReady { .. }), "{error:?}");
    server.sql("shop", r#"CREATE ROLE "shop owner" NOLOGIN; GRANT "shop owner" TO shop_a; REASSIGN OWNED BY shop_a TO "shop owner"; GRANT CREATE ON SCHEMA public TO "shop owner""#);
    server.sql("shop", r#"ALTER ROLE shop_a SET role = "shop owner"; ALTER ROLE shop_a SET search_path = public, "$user"; ALTER ROLE shop_a IN DATABASE shop SET statement_timeout = '7s'"#);
    assert_eq!(users.obstacles(&pair("shop_a", "shop_b")).await.unwrap(), []);

    rotate_there_and_back(&admin, &place).await;

    let settings = |user: &str| {
        server.sql("shop", &format!("SELECT setconfig FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = setrole WHERE rolname = '{user}' ORDER BY setdatabase"))
    };
    assert_eq!(settings("shop_a"), settings("shop_b"));
    let logged = server.log();
    assert!(logged.contains("LOGIN PASSWORD 'SCRAM-SHA-256$"));
    for password in [SECOND, THIRD] {
        assert!(!logged.contains(&password[..9]), "the server logged a password");
    }
}

#[tokio::test]
async fn mariadb_under_load_refuses_nobody_but_the_old_password() {
    let server = Mariadb::start();
    let first = FIRST.replace('\\', "\\\\").replace('\'', "''");
    server.sql(&format!(
        "CREATE DATABASE shop; CREATE TABLE shop.books (id int); CREATE USER shop_a@localhost IDENTIFIED BY '{first}'"
    ));
    server.sql("CREATE ROLE clerk; GRANT INSERT ON shop.* TO clerk; GRANT clerk TO shop_a@localhost; SET DEFAULT ROLE clerk FOR shop_a@localhost; GRANT SELECT ON shop.* TO shop_a@localhost; GRANT UPDATE (id) ON shop.books TO shop_a@localhost");
    server.sql("CREATE USER keeper@localhost IDENTIFIED BY 'keeper'");
    let (admin, place) = (server.url("keeper", "keeper", ""), server.url("boss", PASSWORD, "shop"));
    server.sql("GRANT SELECT ON mysql.* TO keeper@localhost");
    let mut users = TwoUsers::connect(&admin).await.unwrap();
    let found = users.obstacles(&pair("shop_a", "shop_b")).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(
        found[0].what,
        "the user of tend may not make users or see the sessions of others"
    );
    server.sql(
        "GRANT ALL ON *.* TO keeper@localhost WITH GRANT OPTION; GRANT clerk TO keeper@localhost WITH ADMIN OPTION",
    );
    let mut users = TwoUsers::connect(&admin).await.unwrap();
    assert_eq!(users.obstacles(&pair("shop_a", "shop_b")).await.unwrap(), []);
    assert_eq!(
        users.obstacles(&pair("nobody", "shop_b")).await.unwrap()[0].what,
        "`nobody` is not there"
    );

    rotate_there_and_back(&admin, &place).await;

    let grants = |user: &str| {
        let shown = server.sql(&format!("SHOW GRANTS FOR {user}@localhost"));
        let mut lines: Vec<String> = shown
            .lines()
            .filter(|line| !line.contains("USAGE"))
            .map(|line| line.replace(user, "USER"))
            .collect();
        lines.sort();
        lines
    };
    assert_eq!(grants("shop_a"), grants("shop_b"));
    assert_eq!(grants("shop_a").len(), 4);
    let logged = server.log();
    for password in [SECOND, THIRD] {
        assert!(!logged.contains(&password[..9]), "the server logged a password");
    }
}

#[tokio::test]
async fn a_user_with_sessions_is_not_locked() {
    let server = Postgres::start();
    server.sql("postgres", "CREATE ROLE shop_a LOGIN PASSWORD 'a'");
    let admin = server.url("boss", PASSWORD, "postgres");
    let mut users = TwoUsers::connect(&admin).await.unwrap();
    let busy = TwoUsers::connect(&server.url("shop_a", "a", "postgres")).await.unwrap();
    let error = users.lock("shop_a").await.unwrap_err();
    assert!(
        error.to_string().contains("1 sessions at") && error.is_transient(),
        "{error}"
    );
    drop(busy);
    // The session ends in a task of this runtime, which must run meanwhile.
    let gone = async {
        while users.sessions("shop_a").await.unwrap() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(DEADLINE, gone).await.expect("the session is gone");
    users.lock("shop_a").await.unwrap();
    users.lock("shop_a").await.unwrap();
    users.lock("not there").await.unwrap();
    assert!(refused(&server.url("shop_a", "a", "postgres")).await);
}
