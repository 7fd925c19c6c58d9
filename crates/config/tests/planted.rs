//! A secret that is written where it should not be is in nothing that is printed.

use tend_base::Secret;
use tend_config::Location;

use crate::case::{Case, common, folder};

/// Never to be seen. The dollar sign and the colon try to make parts of it look like something else.
const PLANTED: &str = "hunter2-Zq9x";

#[test]
fn no_secret_is_in_any_message() {
    let schema = std::fs::read_to_string(folder().join("common.schema.yaml")).unwrap();
    let texts = [
        "#--- file p.yml\njwt:\n  secret: PLANTED\n",
        "#--- file p.yml\njwt.secret: \"PLANTED\n",
        "#--- file p.yml\njwt.secret: 'PLANTED'x\n",
        "#--- file p.yml\njwt.secret: [PLANTED, {a: PLANTED}]\n",
        "#--- file p.yml\njwt.secret: { PLANTED: PLANTED }\n",
        "#--- file p.yml\njwt.secret: |\n  PLANTED\n  : PLANTED\n",
        "#--- file p.yml\njwt.secert: PLANTED\n",
        "#--- file p.yml\n{\"jwt.secret\": \"PLANTED\", \"app.port\": 0}\n",
        "#--- file p.yml\njwt:\n\tsecret: PLANTED\n",
        "#--- file p.yml\njwt.secret: ${A:-PLANTED}\n",
        "#--- file p.yml\njwt.secret: ${PLANTED\n",
        "#--- file p.yml\ndb.url: postgresql://me:PLANTED@db/x\n",
        "#--- file p.yml\napp.public_url: https://me:PLANTED@host/\n",
        "#--- file p.yml\napp.public_url: 'ftp://me:PLANTED@host/'\n",
        "#--- file p.yml\npeers: ['https://me:PLANTED@host/', 'https://me:PLANTED@host/']\n",
        "#--- file p.yml\npeers:\n  - ftp://me:PLANTED@host/\n  - 7\n",
        "#--- file p.yml\napp.name: ${JWT_SECRET}\n#--- process\nJWT_SECRET=PLANTED\n",
        "#--- file p.yml\napp.port: ${JWT_SECRET}\n#--- dotenv .env\nJWT_SECRET=PLANTED\n",
        "#--- dotenv .env\nJWT_SECRET=PLANTED\nAPP_MODE=$JWT_SECRET\n",
        "#--- dotenv .env\nJWT_SECRET=PLANTED\nA=x-$JWT_SECRET\n#--- file p.yml\napp.mode: ${A}\n",
        "#--- process\nTOKEN=PLANTED\n#--- file p.yml\napp.mode: ${TOKEN}\njwt.secret: ${TOKEN}\n",
        "#--- dotenv .env\nJWT_SECRET=PLANTED\nDB_URL=PLANTED\n",
        "#--- dotenv .env\nJWT_SECRET=\"PLANTED\n",
        "#--- dotenv .env\nJWT_SECRET='PLANTED' PLANTED\n",
        "#--- dotenv .env\nJWT SECRET=PLANTED\nPLANTED\n=PLANTED\n",
        "#--- dotenv .env\nA=PLANTED\nJWT_SECRET=${B:?$A}\n",
        "#--- process\nJWT_SECRET=PLANTED\nDB_URL=mysql://me:PLANTED@db/x\n",
        "#--- secrets\njwt.secret 3 PLANTED\ndb.url 1 PLANTED\n",
        "#--- rows\njwt.secret | \"PLANTED\" | yes\n",
        "#--- rows\njwt.secret | PLANTED | yes\ndb.url | {\"PLANTED\": | yes\n",
        "#--- set\njwt.secret=PLANTED\n",
        "#--- schema\nkeys:\n  a.b:\n    type: string\n    secret: true\n    default: PLANTED\n",
        "#--- schema\nkeys:\n  a.b: { type: string, secret: true }\npresets:\n  p: { a.b: PLANTED }\n",
    ];
    for text in texts {
        let text = text.replace("PLANTED", PLANTED);
        let report = match Case::parse(&text, &schema).build() {
            Ok(set) => panic!("accepted: {text}\n{set:?}"),
            Err(report) => report,
        };
        for shown in [report.to_string(), format!("{report:?}")] {
            // A name is shown where it is misspelt; a value never.
            let values = shown.replace(&format!("`{PLANTED}` is not"), "");
            assert!(
                !values.contains("hunter2") && !values.contains("Zq9x"),
                "{text}\n{shown}"
            );
        }
    }
}

#[test]
fn a_taken_set_prints_and_stores_no_secret() {
    let schema = common();
    let value = format!("{PLANTED}-{PLANTED}-{PLANTED}");
    let text = format!(
        "#--- file p.yml\napp.public_url: https://x.example\njwt.secret: ${{JWT_SECRET}}\n#--- dotenv .env\nJWT_SECRET={value}\nDB_URL=postgresql://me:{PLANTED}@db/x\n"
    );
    let text_of_schema = std::fs::read_to_string(folder().join("common.schema.yaml")).unwrap();
    let set = Case::parse(&text, &text_of_schema)
        .build()
        .unwrap_or_else(|report| panic!("{report}"));
    let revision = tend_config::Revision::of(&set, 1, tend_base::Wall(0), "ana");
    let mut shown = format!("{set:?} {revision:?} {}", serde_json::to_string(&revision).unwrap());
    for key in schema.keys.keys() {
        shown.push_str(&set.why(key).map(|why| why.to_string()).unwrap_or_default());
    }
    assert!(!shown.contains("hunter2"), "{shown}");
    // The values are there for whoever hands them to a process.
    let held: Vec<(&str, &Secret)> = set.outside_secrets().collect();
    assert_eq!(held.len(), 2);
    assert!(
        held.iter()
            .any(|(key, secret)| *key == "jwt.secret" && secret.expose() == value)
    );
}

#[test]
fn a_secret_is_judged_without_being_quoted() {
    let schema = common();
    let location = Location::Elsewhere("tend secret set".to_owned());
    let short = schema.keys["jwt.secret"].check_secret(&Secret::new(PLANTED.to_owned()), &location);
    assert_eq!(short.len(), 1);
    assert!(
        short[0].message.contains("has 12 characters; it must have at least 32"),
        "{}",
        short[0]
    );
    assert!(!format!("{short:?}").contains("hunter2"));
    assert!(
        schema.keys["jwt.secret"]
            .check_secret(&Secret::new(PLANTED.repeat(3)), &location)
            .is_empty()
    );
}
