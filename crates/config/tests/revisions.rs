//! Taking, going back, waiting for a confirmation, and what a change asks of whom.

use std::time::Duration;

use tend_base::{Mono, Now, Wall};
use tend_config::{
    Asked, Candidate, Confirm, Error, Held, History, Offer, Origin, Report, STARTED_FOR, Schema, Selection, Set,
    SetLayer, Source, Sources, Stand, Standing, Step, StoredSecret, Taken, Taker, Value, plan, started_with, take,
    take_back,
};

use tend_core::configuration::Configuration;
use tend_core::model::{DeliveryForm, FileFormat, Grant, SecretDelivery};

use crate::case::{common, layers};

/// A moment so many seconds after the start.
fn at(seconds: u64) -> Now {
    Now {
        mono: Mono(seconds * 1_000_000_000),
        wall: Wall(1_795_305_600_000 + seconds * 1000),
    }
}

fn build(schema: &Schema, file: &str, version: u64) -> Result<Set, Report> {
    let secret = |name: &str| StoredSecret {
        name: name.to_owned(),
        version,
        value: None,
    };
    let file = Origin::File {
        path: "config/environments/production.yml".to_owned(),
        text: format!("app.public_url: https://x.example\n{file}"),
    };
    let secrets = Origin::Secrets(vec![secret("jwt.secret"), secret("db.url")]);
    Set::build(schema, &layers("production", vec![file, secrets]))
}

fn api(delivery: DeliveryForm) -> Taker {
    Taker {
        service: "api".to_owned(),
        delivery,
        keys: Selection(["app.*", "cache.*", "jwt.secret"].map(str::to_owned).to_vec()),
    }
}

fn file(signal: Option<i32>) -> DeliveryForm {
    DeliveryForm::File {
        format: FileFormat::Json,
        signal,
    }
}

/// The daemon's part, in memory.
#[derive(Default)]
struct Keeper {
    history: History,
    waiting: Option<Confirm>,
}

impl Keeper {
    fn standing<'a>(&'a self, schema: &'a Schema, running: &'a [Taker]) -> Standing<'a> {
        Standing {
            current: self.history.current(),
            waiting: self.waiting.as_ref(),
            schema,
            running,
            boot: "boot-1",
        }
    }

    fn offer(
        &mut self,
        schema: &Schema,
        running: &[Taker],
        file: &str,
        version: u64,
        confirm: Option<Duration>,
        now: Now,
    ) -> Taken {
        let built = build(schema, file, version);
        let candidate = Candidate {
            outcome: built.as_ref(),
            who: "ana",
            confirm,
        };
        let taken = take(&self.standing(schema, running), &candidate, now);
        self.keep(&taken);
        taken
    }

    fn keep(&mut self, taken: &Taken) {
        if let Taken::Taken(step) = taken {
            // What is stored is what is read again.
            let stored = serde_json::to_string(step).unwrap();
            let step: Step = serde_json::from_str(&stored).unwrap();
            assert_eq!(self.history.push(step.revision), None);
            self.waiting = step.waiting;
        }
    }

    fn ttl(&self) -> String {
        self.history.current().unwrap().entries["cache.ttl"].held.to_string()
    }
}

fn taken(taken: Taken) -> Step {
    match taken {
        Taken::Taken(step) => *step,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_valid_change_is_taken_once_and_an_invalid_one_never() {
    let schema = common();
    let mut keeper = Keeper::default();
    let running = [api(DeliveryForm::Watch)];
    assert_eq!(
        taken(keeper.offer(&schema, &running, "cache.ttl: 60s\n", 1, None, at(0)))
            .revision
            .number,
        1
    );
    // Written otherwise, it is the same value.
    assert_eq!(
        keeper.offer(&schema, &running, "cache: { ttl: 1m }\n", 1, None, at(1)),
        Taken::Same
    );
    let refused = keeper.offer(&schema, &running, "cache.ttl: 90\napp.mode: fats\n", 1, None, at(2));
    assert!(
        matches!(&refused, Taken::Refused(report) if report.errors() == 1),
        "{refused:?}"
    );
    assert_eq!((keeper.history.all().len(), keeper.ttl().as_str()), (1, "60"));
    let step = taken(keeper.offer(&schema, &running, "cache.ttl: 90\n", 1, None, at(3)));
    assert_eq!(step.diff.to_string(), "~ cache.ttl: 60 → 90\n");
    assert_eq!(
        (&step.asks["api"].asked, step.asks["api"].keys.as_slice()),
        (&Asked::Live, ["cache.ttl".to_owned()].as_slice())
    );
}

#[test]
fn going_back_holds_until_the_layers_say_something_new() {
    let schema = common();
    let mut keeper = Keeper::default();
    for (second, file) in ["cache.ttl: 60\n", "cache.ttl: 90\n"].into_iter().enumerate() {
        taken(keeper.offer(&schema, &[], file, 1, None, at(second as u64)));
    }
    let back = keeper.history.rollback(1, Wall(5), "ben").unwrap();
    let step = take_back(&keeper.standing(&schema, &[]), back, None, at(5));
    keeper.keep(&step);
    assert_eq!(
        (keeper.ttl().as_str(), keeper.history.current().unwrap().number),
        ("60", 3)
    );
    assert_eq!(keeper.history.current().unwrap().back_to, Some(1));
    // A secret that is rotated meanwhile is taken, and nothing else.
    let step = taken(keeper.offer(&schema, &[], "cache.ttl: 90\n", 2, None, at(6)));
    assert_eq!(step.diff.0.len(), 2, "{}", step.diff);
    assert_eq!((keeper.ttl().as_str(), step.revision.back_to), ("60", Some(1)));
    // The file still says 90: whoever went back meant it.
    assert_eq!(
        keeper.offer(&schema, &[], "cache.ttl: 90\n", 2, None, at(6)),
        Taken::Same
    );
    taken(keeper.offer(&schema, &[], "cache.ttl: 95\n", 2, None, at(7)));
    assert_eq!(keeper.ttl(), "95");
    assert!(matches!(
        keeper.history.rollback(9, Wall(8), "ben"),
        Err(Error::NoRevision {
            number: 9,
            oldest: Some(1)
        })
    ));
    assert!(matches!(
        keeper.history.rollback(5, Wall(8), "ben"),
        Err(Error::SameRevision { number: 5 })
    ));
    let told: Vec<String> = keeper
        .history
        .changes()
        .map(|(revision, diff)| format!("{}: {}", revision.number, diff.0.len()))
        .collect();
    assert_eq!(told[0], "5: 1");
}

#[test]
fn going_back_keeps_the_secrets_in_force() {
    let schema = common();
    let mut keeper = Keeper::default();
    taken(keeper.offer(&schema, &[], "cache.ttl: 60\n", 1, None, at(0)));
    let step = taken(keeper.offer(&schema, &[], "cache.ttl: 90\n", 2, None, at(1)));
    assert!(
        step.diff
            .to_string()
            .contains("~ jwt.secret: *** (secret jwt.secret, version 1) → *** (secret jwt.secret, version 2)")
    );
    let back = keeper.history.rollback(1, Wall(5), "ben").unwrap();
    assert_eq!(back.entries["cache.ttl"].held.to_string(), "60");
    for (_, secret) in back.secrets() {
        assert!(secret.to_string().ends_with("version 2)"), "{secret}");
    }
}

#[test]
fn an_unconfirmed_change_is_taken_back_with_all_that_followed_it() {
    let schema = common();
    let mut keeper = Keeper::default();
    taken(keeper.offer(&schema, &[], "cache.ttl: 60\n", 1, None, at(0)));
    taken(keeper.offer(
        &schema,
        &[],
        "cache.ttl: 70\n",
        1,
        Some(Duration::from_secs(600)),
        at(10),
    ));
    taken(keeper.offer(&schema, &[], "cache.ttl: 80\n", 1, None, at(20)));
    let waiting = keeper.waiting.clone().unwrap();
    let current = keeper.history.current().unwrap();
    assert_eq!((waiting.revision, waiting.back.number), (3, 1));
    assert_eq!(waiting.due(current, at(609), "boot-1"), None);
    let back = waiting.due(current, at(610), "boot-1").unwrap();
    assert_eq!(
        (
            back.number,
            back.back_to,
            back.entries["cache.ttl"].held.to_string().as_str()
        ),
        (4, Some(1), "60")
    );
    // After another boot the clock that never jumps has begun anew; the time of day decides.
    let later = Now {
        mono: Mono(1),
        ..at(611)
    };
    assert!(waiting.due(current, later, "boot-2").is_some());
    let earlier = Now {
        mono: Mono(1),
        ..at(609)
    };
    assert_eq!(waiting.due(current, earlier, "boot-2"), None);
    // Only the newest can be confirmed: it holds what the others changed.
    assert_eq!(Confirm::confirm(Some(&waiting), 3), Ok(()));
    assert_eq!(
        Confirm::confirm(Some(&waiting), 2),
        Err(Error::NothingToConfirm {
            number: 2,
            waiting: Some(3)
        })
    );
    assert!(Confirm::confirm(None, 3).is_err());
}

#[test]
fn what_a_change_asks_depends_on_the_key_and_on_how_the_service_takes_it() {
    let schema = common();
    let before = build(&schema, "", 1).unwrap();
    for (file, version, delivery, asked) in [
        ("cache.ttl: 60\n", 1, DeliveryForm::Watch, "live"),
        ("cache.ttl: 60\n", 1, file(Some(1)), "signal"),
        ("cache.ttl: 60\n", 1, file(None), "live"),
        ("cache.ttl: 60\n", 1, DeliveryForm::Environment, "rolling"),
        ("cache.grace: 60s\n", 1, file(Some(1)), "signal"),
        ("cache.grace: 60s\n", 1, DeliveryForm::Watch, "live"),
        ("app.name: x\ncache.ttl: 60\n", 1, DeliveryForm::Watch, "rolling"),
        ("app.port: 4000\ncache.ttl: 60\n", 1, DeliveryForm::Watch, "refused"),
        ("price.slippage: 1\n", 1, DeliveryForm::Watch, "nothing"),
        // Of secrets, the one that is named.
        ("", 2, DeliveryForm::Watch, "rolling"),
    ] {
        let after = build(&schema, file, version).unwrap();
        let diff = tend_config::Diff::between(&before.entries, &after.entries);
        let asks = plan(&diff, &schema, &[api(delivery.clone())]);
        assert_eq!(asks["api"].asked.to_string(), asked, "{file:?} {delivery:?}");
        assert!(!asks["api"].keys.contains(&"db.url".to_owned()));
    }
}

#[test]
fn a_key_that_cannot_change_while_it_runs_refuses_the_whole_change() {
    let schema = common();
    let mut keeper = Keeper::default();
    let running = [api(DeliveryForm::Watch)];
    taken(keeper.offer(&schema, &running, "", 1, None, at(0)));
    let refused = keeper.offer(&schema, &running, "app.port: 4000\ncache.ttl: 60\n", 1, None, at(1));
    let Taken::Refused(report) = refused else {
        panic!("{refused:?}")
    };
    let text = report.to_string();
    assert!(
        text.contains("`app.port` cannot change while api runs") && text.contains("`tend stop api`"),
        "{text}"
    );
    assert_eq!(keeper.history.all().len(), 1);
    // Nobody runs it: it is taken.
    taken(keeper.offer(&schema, &[], "app.port: 4000\n", 1, None, at(2)));
}

#[test]
fn commands_set_unset_and_preset_keys() {
    let schema = common();
    let mut set = SetLayer::default();
    set.set(&schema, "CACHE_TTL", "2m", "ana", Wall(1)).unwrap();
    assert!(set.0.contains_key("cache.ttl"));
    for (key, text, said) in [
        ("cache.tll", "2m", "did you mean `cache.ttl`?"),
        ("cache.ttl", "2 minutes", "is `2 minutes`; it must be a duration"),
        ("cache.ttl", "2h", "it must be at most 1h"),
        ("jwt.secret", "x", "`jwt.secret` is secret"),
    ] {
        let before = set.clone();
        let report = set.set(&schema, key, text, "ana", Wall(2)).unwrap_err().to_string();
        assert!(report.contains(said), "{report}");
        assert_eq!(set, before);
    }
    set.preset(&schema, "calm", "ana", Wall(3)).unwrap();
    set.unset(&schema, "price.slippage", "ana", Wall(3)).unwrap();
    assert!(
        set.preset(&schema, "clam", "ana", Wall(3))
            .unwrap_err()
            .to_string()
            .contains("did you mean `calm`?")
    );
    let file = Origin::File {
        path: "development.yml".to_owned(),
        text: "price.slippage: 1\n".to_owned(),
    };
    let built = Set::build(&schema, &layers("development", vec![Origin::Set(set.clone()), file])).unwrap();
    assert_eq!(built.entries["cache.ttl"].held.to_string(), "60");
    assert_eq!(
        built.entries["app.mode"].held,
        Held::Value(Value::Text("careful".to_owned()))
    );
    // Unset: the default answers, not the file.
    assert_eq!(built.entries["price.slippage"].held.to_string(), "0.5");
    assert_eq!(built.entries["price.slippage"].beneath.len(), 2);
    assert!(set.clear("price.slippage"));
}

#[test]
fn patterns_that_give_nothing_are_named() {
    let schema = common();
    let keys = Selection(["app.*", "cahce.*", "jwt.*", "jwt.secret"].map(str::to_owned).to_vec());
    let strangers = keys.strangers(&schema);
    assert_eq!(strangers.len(), 2, "{strangers:?}");
    assert_eq!(strangers[0], ("cahce.*".to_owned(), "did you mean `cache`?".to_owned()));
    assert!(strangers[1].1.contains("by their own names"));
}

#[test]
fn no_secret_is_started_with() {
    let schema = common();
    let mut keeper = Keeper::default();
    let running = [api(DeliveryForm::Environment)];
    let first = taken(keeper.offer(&schema, &running, "", 1, None, at(0)));
    let started = started_with(
        &schema,
        &first.revision,
        &running,
        &first.asks,
        &Configuration::default(),
    )
    .unwrap();
    let api = &started.services[&"api".parse().unwrap()];
    assert_eq!(started.revision, 1);
    assert_eq!(api.variables["APP_PUBLIC_URL"], "https://x.example");
    assert!(api.variables.keys().all(|name| !name.contains("SECRET")), "{api:?}");
    assert_eq!(
        api.secrets,
        [Grant {
            also: None,
            secret: "jwt.secret".to_owned(),
            version: 1,
            delivery: SecretDelivery::Environment("JWT_SECRET".to_owned()),
        }]
    );
}

#[test]
fn what_takes_its_configuration_while_it_runs_is_started_anew_only_for_keys_that_ask_for_it() {
    let schema = common();
    let mut keeper = Keeper::default();
    let running = [api(DeliveryForm::Watch)];
    let mut started = Configuration::default();
    let mut last = Vec::new();
    // `cache.ttl` is taken live, `cache.size` asks for new replicas.
    for file in [
        "",
        "cache.ttl: 60",
        "cache.ttl: 60\ncache.size: 2048",
        "cache.ttl: 90\ncache.size: 2048",
    ] {
        let step = taken(keeper.offer(&schema, &running, file, 1, None, at(0)));
        started = started_with(&schema, &step.revision, &running, &step.asks, &started).unwrap();
        let asked = step.asks.get("api").map(|ask| ask.asked.clone());
        let api = started.of(&"api".parse().unwrap());
        let number = api.and_then(|api| api.variables.get(STARTED_FOR).cloned());
        last.push((asked, number));
    }
    assert_eq!(
        last,
        [
            (None, None),
            (Some(Asked::Live), None),
            (Some(Asked::Rolling), Some("3".to_owned())),
            (Some(Asked::Live), Some("3".to_owned())),
        ]
    );
}

#[test]
fn a_stand_that_is_read_again_takes_nothing_new() {
    let mark = |value: &tend_base::Secret| format!("{} bytes", value.expose().len());
    let offer = Offer {
        who: "ana",
        confirm: None,
        running: &[],
        boot: "boot-1",
        mark: &mark,
    };
    let mut stand = Stand::default();
    stand.sources = sources("cache.ttl: 60");
    let schema = stand.schema().unwrap();
    let mut records = Vec::new();
    let mut set = SetLayer::default();
    for ttl in [None, Some("90"), Some("60")] {
        if let Some(ttl) = ttl {
            set.set(&schema, "cache.ttl", ttl, "bob", at(1).wall).unwrap();
        }
        let step = taken(stand.offer(&schema, &set, &offer, at(2)));
        let record = stand.record(&step, &set);
        records.push(serde_json::from_value(serde_json::to_value(&record).unwrap()).unwrap());
        stand.keep(record);
    }
    let held = |stand: &Stand| stand.history().current().unwrap().entries["cache.ttl"].held.to_string();
    assert_eq!(held(&stand), "60");
    let mut again = Stand::of(records);
    again.sources = sources("cache.ttl: 60");
    assert_eq!(again.offer(&schema, again.set_layer(), &offer, at(3)), Taken::Same);
    // What was set holds, though the file says something else by now.
    again.sources = sources("cache.ttl: 70");
    assert_eq!(again.offer(&schema, again.set_layer(), &offer, at(3)), Taken::Same);
    assert_eq!(again.history().all().len(), 3);
    let back = again.offer_back(&schema, 2, &offer, at(4)).unwrap();
    assert_eq!(taken(back).revision.back_to, Some(2));
}

#[test]
fn a_stand_without_its_schema_says_where_it_is_looked_for() {
    let mut stand = Stand::default();
    stand.sources.schema = Some(Source {
        path: "config/schema.yaml".to_owned(),
        text: None,
    });
    let report = stand.schema().unwrap_err().to_string();
    assert!(
        report.contains("config/schema.yaml") && report.contains("no such file"),
        "{report}"
    );
}

fn sources(file: &str) -> Sources {
    let secret = |name: &str| StoredSecret {
        name: name.to_owned(),
        version: 1,
        value: None,
    };
    let source = |path: &str, text: String| Source {
        path: path.to_owned(),
        text: Some(text),
    };
    Sources {
        environment: "production".to_owned(),
        schema: Some(source(
            "config/schema.yaml",
            include_str!("common.schema.yaml").to_owned(),
        )),
        files: vec![source(
            "config/environments/production.yml",
            format!("app.public_url: https://x.example\n{file}"),
        )],
        secrets: vec![secret("jwt.secret"), secret("db.url")],
        ..Sources::default()
    }
}
