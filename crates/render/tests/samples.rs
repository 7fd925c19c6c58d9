//! Stacks and options that the tests render.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use tend_core::model::{Smoke, Stack};
use tend_render::{Command, Engine, Image, Options, Program, Scratch, Stage, Toolchain};
use tend_stackfile::{Files, Input, Owner, load};

/// A value in the environment of the samples' service; it may never be in a pipeline.
pub(crate) const SECRET: &str = "hunter2-of-the-environment";

fn smoke(path: &str, status: u16, contains: Option<&str>) -> Smoke {
    Smoke {
        path: path.to_owned(),
        status,
        contains: contains.map(str::to_owned),
        timeout: Duration::from_millis(2500),
    }
}

/// The stack file of the samples, in memory.
struct Memory(String);

impl Files for Memory {
    fn read(&self, _: &Path) -> io::Result<Vec<u8>> {
        Ok(self.0.clone().into_bytes())
    }

    fn is_file(&self, path: &Path) -> bool {
        path == Path::new(FILE)
    }

    fn owner(&self, _: &Path) -> io::Result<Owner> {
        Ok(Owner { uid: 1000, gid: 1000 })
    }
}

const FILE: &str = "/home/someone/checkout/stack.yml";

fn stack(name: &str, smoke: Vec<Smoke>) -> Stack {
    let file = format!(
        "name: {name}\nservices:\n  api:\n    command: ./api\n    environment: {{ DATABASE_PASSWORD: {SECRET} }}\n"
    );
    let loaded = load(&Input {
        files: &Memory(file),
        paths: vec![FILE.into()],
        environment: BTreeMap::new(),
        profiles: Vec::new(),
        name: None,
    });
    let mut stack = loaded.expect("a stack file").stack;
    for service in stack.services.values_mut() {
        service.smoke = smoke.clone();
    }
    stack
}

fn command(stage: Stage, run: &str) -> Command {
    Command {
        stage,
        run: run.to_owned(),
    }
}

fn scratch(engine: Engine, version: &str, variable: &str) -> Scratch {
    Scratch {
        engine,
        version: version.to_owned(),
        variable: variable.to_owned(),
    }
}

/// All that there is: what the guides' member payment system asks for.
pub(crate) fn full() -> (Stack, Options) {
    let stack = stack(
        "mps",
        vec![
            smoke("/health", 200, None),
            smoke("/api/version?full=1", 200, Some("\"name\":\"mps\"")),
        ],
    );
    let mut options = Options::new(&stack, "deploy@staging.example.com", "deploy@pay.example.com");
    options.toolchains = vec![Toolchain::Node("22".to_owned())];
    // Not in the order of the stages, on purpose.
    options.commands = vec![
        command(Stage::Build, "npm run build"),
        command(Stage::Install, "npm ci"),
        command(Stage::Lint, "npm run lint"),
        command(Stage::Types, "npm run type-check"),
        command(Stage::Unit, "npm run test:unit"),
        command(Stage::Integration, "npm run db:migrate\nnpm run test:integration"),
        command(Stage::Coverage, "npm run test:coverage"),
        command(Stage::Audit, "npm audit --audit-level high"),
    ];
    options.scratch = vec![
        scratch(Engine::Postgres, "16", "DATABASE_URL"),
        scratch(Engine::Mysql, "8.4", "LEGACY_DATABASE_URL"),
        scratch(Engine::Redis, "7", "REDIS_URL"),
        scratch(Engine::Redis, "7", "CACHE_URL"),
    ];
    options.artifacts = vec!["dist/**".to_owned(), "package.json".to_owned()];
    options.coverage = Some("coverage".to_owned());
    options.image = Some(Image {
        registry: "ghcr.io".to_owned(),
        repository: "acme/mps".to_owned(),
        context: ".".to_owned(),
        dockerfile: "Dockerfile".to_owned(),
    });
    options.tend = Some(Program {
        url: "https://downloads.example.com/tend-0.1.0-x86_64".to_owned(),
        sha256: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855".to_owned(),
    });
    options.stack = "deploy".to_owned();
    options.targets[0].url = Some("https://staging.example.com".to_owned());
    options.targets[1].url = Some("https://pay.example.com/".to_owned());
    (stack, options)
}

/// As little as there can be: one machine, nothing to test.
pub(crate) fn small() -> (Stack, Options) {
    let stack = stack("bot", Vec::new());
    let mut options = Options::new(&stack, "", "deploy@bot.example.com");
    options.targets.remove(0);
    options.targets[0].approval = false;
    options.notice = false;
    (stack, options)
}

/// Texts that mean something to YAML, Groovy, the shell or the build servers.
pub(crate) fn odd() -> (Stack, Options) {
    let stack = stack(
        "odd",
        vec![smoke("/it's?a=$HOME&b=`id`", 204, Some("it's \"$HOME\" \\ `id`"))],
    );
    let mut options = Options::new(&stack, "deploy@a", "deploy@b");
    options.toolchains = vec![
        Toolchain::Python("3.12".to_owned()),
        Toolchain::Rust("1.95".to_owned()),
        Toolchain::Go("1.24".to_owned()),
    ];
    options.commands = vec![
        command(Stage::Lint, "echo 'it'\\''s' \"$HOME\" '''three''' \\\\ # : {{ }} ${x}"),
        command(Stage::Unit, "  indented\n\n\techo tab"),
        command(Stage::Build, "cat <<'END'\n  kept: as it is\nEND"),
    ];
    options.coverage = Some("not used without a command".to_owned());
    for (target, environment) in options.targets.iter_mut().zip(["it's 1: #a", "It's 1- -A"]) {
        target.environment = environment.to_owned();
        target.directory = "/srv/it's a \"$HOME\"".to_owned();
        target.url = Some("https://a.example.com".to_owned());
        target.branches.push("feature/it's".to_owned());
    }
    options.stack = "the stack".to_owned();
    (stack, options)
}
