//! The schemas of real systems, with their files.

use tend_base::Secret;
use tend_config::{
    Held, Origin, Schema, Selection, Set, SetLayer, StoredSecret, docs, environment, given, json_schema, render,
};
use tend_core::model::FileFormat;

use crate::case::{layers, read};

fn schema(path: &str) -> Schema {
    Schema::parse(path, &read(path)).unwrap_or_else(|report| panic!("{report}"))
}

fn stored(names: &[&str]) -> Origin {
    let secret = |name: &&str| StoredSecret {
        name: (*name).to_owned(),
        version: 1,
        value: None,
    };
    Origin::Secrets(names.iter().map(secret).collect())
}

fn mps(environment: &str) -> Set {
    let path = format!("stacks/mps/config/environments/{environment}.yml");
    let text = read(&path);
    let secrets = stored(&[
        "database.url",
        "redis.password",
        "jwt.secret",
        "encryption.key",
        "supabase.service_key",
    ]);
    Set::build(
        &schema("stacks/mps/config/schema.yaml"),
        &layers(environment, vec![Origin::File { path, text }, secrets]),
    )
    .unwrap_or_else(|report| panic!("{report}"))
}

#[test]
fn every_environment_of_mps_is_valid_and_production_has_the_guides_values() {
    let production = mps("production");
    for (key, value) in [
        ("app.name", "MPS Production"),
        ("app.version", "1.0.0"),
        ("app.port", "3000"),
        ("app.log_level", "info"),
        ("database.pool_size", "20"),
        ("database.timeout", "30"),
        ("database.ssl", "true"),
        ("redis.pool_size", "10"),
        ("redis.timeout", "5000"),
        ("security.rate_limit.window_ms", "60000"),
        ("security.rate_limit.max_requests", "1000"),
        ("security.cors.origin", "[\"https://app.mps.example.com\"]"),
        ("security.cors.credentials", "true"),
        ("monitoring.prometheus.enabled", "true"),
        ("monitoring.prometheus.port", "9090"),
        ("monitoring.health_check.enabled", "true"),
        ("monitoring.health_check.interval", "30"),
        ("features.qr_rotation.enabled", "true"),
        ("features.qr_rotation.default_ttl", "900"),
        ("features.payment_retry.enabled", "true"),
        ("features.payment_retry.max_attempts", "3"),
        ("features.audit_logging.enabled", "true"),
        ("features.audit_logging.retention_days", "2555"),
    ] {
        assert_eq!(production.entries[key].held.to_string(), value, "{key}");
    }
    assert_eq!(
        mps("staging").entries["features.qr_rotation.default_ttl"]
            .held
            .to_string(),
        "300"
    );
    assert_eq!(mps("development").entries["app.breakable"].held.to_string(), "1");
    let diff = tend_config::Diff::between(&mps("staging").entries, &production.entries).to_string();
    assert!(diff.contains("~ app.log_level: debug → info\n"), "{diff}");
}

#[test]
fn what_mps_must_not_be_in_production_is_refused_all_at_once() {
    let schema = schema("stacks/mps/config/schema.yaml");
    let path = "stacks/mps/config/environments/development.yml".to_owned();
    let text = read(&path);
    let report = Set::build(&schema, &layers("production", vec![Origin::File { path, text }])).unwrap_err();
    let keys: Vec<&str> = report.0.iter().filter_map(|one| one.key.as_deref()).collect();
    for key in [
        "app.seed",
        "app.breakable",
        "database.ssl",
        "database.url",
        "redis.password",
        "jwt.secret",
        "encryption.key",
    ] {
        assert!(keys.contains(&key), "{key} in {report}");
    }
}

#[test]
fn the_bot_takes_the_guides_file_rows_and_variables() {
    let schema = schema("docs/examples/config/tron-bot.schema.yaml");
    let file = Origin::File {
        path: "config/environments/production.yml".to_owned(),
        text: read("docs/examples/config/tron-bot.production.yml"),
    };
    let mut variables: std::collections::BTreeMap<String, String> = [
        ("NODE_ENV", "production"),
        (
            "DATABASE_URL",
            "postgresql://bot:a-password-of-some-length@localhost/tron_energy_rental",
        ),
        ("TELEGRAM_BOT_TOKEN", "123456789:AAF-abcdefghijklmnopqrstuvwxyz012345"),
        ("TELEGRAM_WEBHOOK_SECRET", "0123456789abcdef0123456789abcdef"),
        ("TRON_API_KEY", "01234567-89ab"),
        ("TRON_PAYMENT_ADDRESS", "TJRabPrwbZy45sbavfcjinPJC18kjpRTv8"),
        ("JWT_SECRET", "0123456789abcdef0123456789abcdef"),
        ("MIN_ORDER_AMOUNT", "2.50"),
        ("METRICS_ENABLED", "true"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let row = |key: &str, value: &str, is_active| tend_config::Row {
        key: key.to_owned(),
        value: value.to_owned(),
        is_active,
        updated_at: Some("2026-11-22T00:00:00Z".to_owned()),
        updated_by: Some("panel".to_owned()),
    };
    // A panel of the guide names rows as the variables are named.
    let rows = vec![
        row("DEFAULT_ENERGY_PRICE", "0.000012000000000001", true),
        row("rate.limit", "\"many\"", false),
    ];
    let table = Origin::Table {
        name: "system_config".to_owned(),
        rows,
    };
    let built = |variables| {
        Set::build(
            &schema,
            &layers(
                "production",
                vec![table.clone(), file.clone(), Origin::Process(variables)],
            ),
        )
    };
    let set = built(variables.clone()).unwrap_or_else(|report| panic!("{report}"));
    let text = |key: &str| set.entries[key].held.to_string();
    assert_eq!(text("default.energy_price"), "0.000012000000000001");
    assert_eq!(text("min.order_amount"), "2.5");
    assert_eq!(text("session.timeout"), "1800000");
    assert_eq!(text("log.rotation.max_size"), "104857600");
    assert!(matches!(
        set.entries["telegram.webhook.secret_token"].held,
        Held::Secret(_)
    ));
    assert!(
        set.why("default.energy_price")
            .unwrap()
            .to_string()
            .contains("the row `DEFAULT_ENERGY_PRICE` of system_config, by panel")
    );

    // What the guide's ConfigManager requires, and the lengths it asks for, all at once.
    for name in ["DATABASE_URL", "TELEGRAM_BOT_TOKEN", "TRON_API_KEY"] {
        variables.remove(name);
    }
    variables.insert("JWT_SECRET".to_owned(), "short".to_owned());
    let report = built(variables).unwrap_err();
    assert_eq!(report.errors(), 4, "{report}");
}

#[test]
fn the_presets_of_the_trading_bot_are_taken_as_one() {
    let schema = schema("docs/examples/config/bsc-bot.schema.yaml");
    let mut set = SetLayer::default();
    for (name, key, value) in [
        ("pool-high", "database.pool.max", "20"),
        ("market-volatile", "cache.ttl", "15"),
        ("latency-high", "websocket.heartbeat", "60"),
    ] {
        set.preset(&schema, name, "ana", tend_base::Wall(0)).unwrap();
        let built = Set::build(&schema, &layers("production", vec![Origin::Set(set.clone())])).unwrap();
        assert_eq!(built.entries[key].held.to_string(), value);
    }
    set.preset(&schema, "pool-low", "ana", tend_base::Wall(0)).unwrap();
    let built = Set::build(&schema, &layers("production", vec![Origin::Set(set)])).unwrap();
    assert_eq!(built.entries["database.pool.min"].held.to_string(), "2");
    let mut off = SetLayer::default();
    off.set(&schema, "DISABLE_AUTH", "true", "ana", tend_base::Wall(0))
        .unwrap();
    let report = Set::build(&schema, &layers("production", vec![Origin::Set(off)]))
        .unwrap_err()
        .to_string();
    assert!(
        report.contains("`auth.disabled` must not be `true` in production"),
        "{report}"
    );
}

#[test]
fn each_schema_has_a_page_with_every_key_and_a_json_schema() {
    for path in [
        "stacks/mps/config/schema.yaml",
        "docs/examples/config/tron-bot.schema.yaml",
        "docs/examples/config/bsc-bot.schema.yaml",
    ] {
        let schema = schema(path);
        let page = docs(&schema);
        let document = json_schema(&schema);
        for key in schema.keys.values() {
            assert!(page.contains(&format!("\n### {}\n", key.name)), "{path}: {}", key.name);
            assert!(page.contains(&format!("| variable | `{}` |", key.variable)));
            assert!(
                key.description.is_some(),
                "{path}: {} says not what it is for",
                key.name
            );
            let pointer = format!("/properties/{}", key.name.replace('.', "/properties/"));
            assert!(document.pointer(&pointer).is_some(), "{pointer}");
        }
    }
}

#[test]
fn a_service_is_given_what_it_names_and_no_secret_besides() {
    let set = mps("production");
    let schema = schema("stacks/mps/config/schema.yaml");
    let secrets = [("jwt.secret".to_owned(), Secret::new("s3cret".to_owned()))].into();
    let keys = Selection(vec!["features.*".into(), "database.*".into(), "jwt.secret".into()]);
    let values = given(&set.entries, &keys, &secrets).unwrap();
    assert!(
        !values.contains_key("database.url"),
        "a secret is given by its own name only"
    );
    let variables = environment(&schema, &values).unwrap();
    assert_eq!(variables["DATABASE_TIMEOUT"].expose(), "30");
    assert_eq!(variables["FEATURES_QR_ROTATION_DEFAULT_TTL"].expose(), "900");
    assert_eq!(variables["JWT_SECRET"].expose(), "s3cret");
    let file = render(&schema, &values, FileFormat::Dotenv).unwrap();
    assert!(file.expose().contains("DATABASE_POOL_SIZE=20\n") && !format!("{file:?}").contains("s3cret"));
    assert!(given(&set.entries, &Selection(vec!["redis.password".into()]), &secrets).is_err());
}
