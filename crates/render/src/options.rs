//! What a pipeline needs to know that no stack file says: with what a service is built and tested, and where it is deployed to.
//!
//! Owns the questions, and defaults where the guides have a custom. Looks at no source tree: who calls fills this in.

use tend_core::model::Stack;

use crate::text::identifier;

/// What the stack does not say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Languages that the commands need, in the order they are set up.
    pub toolchains: Vec<Toolchain>,
    /// What is run, in the order of [`Stage`]; a stage without a command is left out.
    pub commands: Vec<Command>,
    /// Databases that the tests get, empty and thrown away after them. Two of one engine share one server, of the first's version.
    pub scratch: Vec<Scratch>,
    /// What the build leaves, as globs relative to the root of the repository; kept by the build server.
    pub artifacts: Vec<String>,
    /// The folder with the report of [`Stage::Coverage`]; kept by the build server.
    pub coverage: Option<String>,
    /// The image to build, where there is one.
    pub image: Option<Image>,
    /// Where tend is fetched from for checking the stack file on the build server; without it the check is left to the machine,
    /// before each deploy.
    pub tend: Option<Program>,
    /// The folder of the stack file, relative to the root of the repository: `.` or such as `deploy`.
    pub stack: String,
    /// Where is deployed to, in this order: one waits for those before it.
    pub targets: Vec<Target>,
    /// Whether the end is told to a webhook that takes DingTalk's and WeCom's text message.
    pub notice: bool,
}

impl Options {
    /// Returns what the guides do by custom: `main` and `develop` to staging; `master` and tags `v…` to production, which somebody has
    /// to approve. Nothing is built or tested until commands are given.
    #[must_use]
    pub fn new(stack: &Stack, staging: &str, production: &str) -> Self {
        let target = |environment: &str, host: &str| Target {
            environment: environment.to_owned(),
            host: host.to_owned(),
            directory: format!("/srv/{}", stack.name),
            url: None,
            branches: Vec::new(),
            tag_prefix: None,
            approval: false,
        };
        Self {
            toolchains: Vec::new(),
            commands: Vec::new(),
            scratch: Vec::new(),
            artifacts: Vec::new(),
            coverage: None,
            image: None,
            tend: None,
            stack: ".".to_owned(),
            targets: vec![
                Target {
                    branches: vec!["main".to_owned(), "develop".to_owned()],
                    ..target("staging", staging)
                },
                Target {
                    branches: vec!["master".to_owned()],
                    tag_prefix: Some("v".to_owned()),
                    approval: true,
                    ..target("production", production)
                },
            ],
            notice: true,
        }
    }

    /// Returns the servers to start: the first scratch database of each engine.
    pub(crate) fn servers(&self) -> Vec<&Scratch> {
        let mut servers: Vec<&Scratch> = Vec::new();
        for scratch in &self.scratch {
            if !servers.iter().any(|server| server.engine == scratch.engine) {
                servers.push(scratch);
            }
        }
        servers
    }

    /// Returns each target with a name that a build server takes as an identifier, and that no other target has.
    pub(crate) fn named_targets(&self) -> Vec<(&Target, String)> {
        let mut named: Vec<(&Target, String)> = Vec::new();
        for target in &self.targets {
            let mut name = identifier(&target.environment);
            while named.iter().any(|(_, taken)| *taken == name) {
                name.push_str("-x");
            }
            named.push((target, name));
        }
        named
    }
}

/// A language, with the version to set up, such as `22` or `3.12`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Toolchain {
    /// Node.js with npm.
    Node(String),
    /// Python with pip.
    Python(String),
    /// Rust, through rustup.
    Rust(String),
    /// Go.
    Go(String),
}

/// A command of a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// When it is run.
    pub stage: Stage,
    /// A line or several of shell, run from the root of the repository.
    pub run: String,
}

/// The stages of the guides, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Fetches what the rest needs.
    Install,
    /// Style.
    Lint,
    /// Types.
    Types,
    /// Tests without a database.
    Unit,
    /// Tests with the scratch databases.
    Integration,
    /// Tests once more, counting what they reach.
    Coverage,
    /// Known faults of dependencies.
    Audit,
    /// Makes the artifacts.
    Build,
}

impl Stage {
    /// Returns how it is called in a pipeline.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Install => "Install dependencies",
            Self::Lint => "Lint",
            Self::Types => "Check types",
            Self::Unit => "Unit tests",
            Self::Integration => "Integration tests",
            Self::Coverage => "Coverage",
            Self::Audit => "Audit dependencies",
            Self::Build => "Build",
        }
    }
}

/// A database of the tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scratch {
    /// Which.
    pub engine: Engine,
    /// The tag of its official image, such as `16`.
    pub version: String,
    /// The variable in which the tests are given its URL, such as `DATABASE_URL`.
    pub variable: String,
}

/// A database engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// PostgreSQL.
    Postgres,
    /// MySQL.
    Mysql,
    /// Redis.
    Redis,
}

/// An image to build and push.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The registry's host, such as `ghcr.io`.
    pub registry: String,
    /// The repository in it, such as `acme/mps`.
    pub repository: String,
    /// The folder that is built, relative to the root of the repository.
    pub context: String,
    /// The Dockerfile, relative to the root of the repository.
    pub dockerfile: String,
}

/// A program to fetch, which is only run when it is what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Where from.
    pub url: String,
    /// SHA-256 of the file, in hexadecimal.
    pub sha256: String,
}

/// A machine that is deployed to, over SSH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The name of the environment, such as `staging`.
    pub environment: String,
    /// What `ssh` connects to, such as `deploy@staging.example.com`.
    pub host: String,
    /// The checkout of the repository there.
    pub directory: String,
    /// Where clients reach it, such as `https://staging.example.com`; the smoke questions of the stack are asked there.
    pub url: Option<String>,
    /// A push to one of these branches is deployed.
    pub branches: Vec<String>,
    /// A tag that begins with this is deployed.
    pub tag_prefix: Option<String>,
    /// Somebody has to let each deploy go on: a reviewer of the environment on GitHub, `input` on Jenkins.
    pub approval: bool,
}
