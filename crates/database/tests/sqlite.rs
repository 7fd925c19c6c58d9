//! A table in a file of SQLite as a source: changed, replaced, gone and back.

use rusqlite::Connection;
use serde_json::json;
use tend_database::{Settings, Source, install};
use tend_testkit::Folder;

use crate::servers::{address, wait_for_away, wait_for_back, wait_for_value};

#[tokio::test]
async fn a_file_is_told_as_it_is_over_removal_and_replacement() {
    let folder = Folder::new();
    let path = folder.path().join("shop.db");
    let settings = Settings::new(address(&format!("sqlite:{}", path.display())));
    let mut source = Source::start(settings.clone());
    wait_for_away(&mut source, "was not reached").await;
    assert!(!path.exists(), "a file was made by reading it");
    install(&settings).await.unwrap();
    install(&settings).await.unwrap();
    wait_for_back(&mut source).await;

    // As services have it: journal in a file of its own, and readers beside writers.
    let writer = Connection::open(&path).unwrap();
    writer.pragma_update(None, "journal_mode", "wal").unwrap();
    let set = |value: &str| {
        let sql = "INSERT INTO system_config (key, value, updated_by) VALUES ('qr.ttl', ?1, 'ana') ON CONFLICT DO UPDATE SET value = ?1";
        writer.execute(sql, [value]).unwrap();
    };
    set("900");
    let rows = wait_for_value(&mut source, "qr.ttl", Some(json!(900))).await;
    assert_eq!(rows.rows[0].updated_by.as_deref(), Some("ana"));
    let now = tend_base::Clock::now(&tend_base::SystemClock).wall;
    assert!(now.0.abs_diff(rows.rows[0].updated_at.unwrap().0) < 3_600_000);
    set("[1, 2]");
    wait_for_value(&mut source, "qr.ttl", Some(json!([1, 2]))).await;
    writer.execute("UPDATE system_config SET is_active = 0", []).unwrap();
    wait_for_value(&mut source, "qr.ttl", None).await;
    writer.execute("DROP TABLE system_config", []).unwrap();
    wait_for_away(&mut source, "has no table `system_config`").await;
    writer.execute("CREATE TABLE system_config (key, value)", []).unwrap();
    wait_for_back(&mut source).await;
    drop(writer);

    // Another file in its place, as a restore does it.
    let other = folder.path().join("other.db");
    Connection::open(&other)
        .unwrap()
        .execute_batch(
            "CREATE TABLE system_config (key, value); INSERT INTO system_config VALUES ('from', '\"another file\"')",
        )
        .unwrap();
    // A journal that is left beside it would be read as the new file's: whoever replaces a file of SQLite removes it.
    for name in ["shop.db-wal", "shop.db-shm"] {
        let _ = std::fs::remove_file(folder.path().join(name));
    }
    std::fs::rename(&other, &path).unwrap();
    wait_for_value(&mut source, "from", Some(json!("another file"))).await;
}
