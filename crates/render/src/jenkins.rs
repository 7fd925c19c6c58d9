//! A declarative Jenkinsfile.
//!
//! Owns its form. What its steps have the shell do stands in `script`. Needs the plugins of Jenkins' own suggestion (Pipeline,
//! Credentials Binding, Git) and, for databases and images, Docker on the agent.

use tend_core::model::Stack;

use crate::options::{Command, Image, Options, Scratch, Stage, Target, Toolchain};
use crate::script;
use crate::text::{groovy, groovy_escaped, line, shell};

/// Minutes after which a stage that hangs is ended: the tests, and a deploy with its drains, canary and patience.
const VERIFY_MINUTES: u32 = 60;
const DEPLOY_MINUTES: u32 = 120;
/// Hours that a question to a person stands before the run is ended.
const APPROVAL_HOURS: u32 = 24;

/// Renders a `Jenkinsfile` for a multibranch pipeline.
#[must_use]
pub fn jenkins(stack: &Stack, options: &Options) -> String {
    let mut out = head(stack, options);
    let mut forward = verify(options);
    if let Some(image) = &options.image {
        forward.push_str(&image_stage(image));
    }
    for (target, name) in options.named_targets() {
        forward.push_str(&deploy(stack, options, target, &name));
    }
    out.push_str(&format!(
        "    stages {{\n        stage('Forward') {{\n            when {{ expression {{ params.ACTION != 'rollback' }} }}\n            stages {{\n{}            \
         }}\n        }}\n",
        indented(&forward, 16)
    ));
    for (target, name) in options.named_targets() {
        out.push_str(&indented(&rollback(options, target, &name), 8));
    }
    out.push_str("    }\n");
    out.push_str(&post(stack, options));
    out.push_str("}\n");
    out
}

fn head(stack: &Stack, options: &Options) -> String {
    let environments: Vec<String> = options
        .targets
        .iter()
        .map(|target| groovy(&target.environment))
        .collect();
    let mut out = format!(
        "// Tests {}, and deploys it with tend. Written by `tend render jenkins`; render it again after a change of the stack.\n//\n",
        line(stack.name.as_str())
    );
    for (target, name) in options.named_targets() {
        out.push_str(&format!(
            "// Credentials for {}: deploy-key-{name} (SSH user name with private key) and deploy-known-hosts-{name}\n// (secret file: the \
             lines of `ssh-keyscan`, compared by hand once).\n",
            line(&target.environment),
        ));
    }
    if stack.deploy.approval {
        out.push_str("// The stack asks for approval as well: each deploy waits for `tend approve` on the machine.\n");
    }
    if options.image.is_some() {
        out.push_str("// Credential for the image: registry (user name with password).\n");
    }
    if options.notice {
        out.push_str("// Credential for the notice: notice-webhook (secret text).\n");
    }
    for toolchain in &options.toolchains {
        let (name, version) = match toolchain {
            Toolchain::Node(version) => ("Node.js", version),
            Toolchain::Python(version) => ("Python", version),
            Toolchain::Rust(version) => ("Rust", version),
            Toolchain::Go(version) => ("Go", version),
        };
        out.push_str(&format!("// The agent has to have {name} {}.\n", line(version)));
    }
    out.push_str(
        "pipeline {\n    agent any\n    options {\n        disableConcurrentBuilds()\n        skipDefaultCheckout()\n",
    );
    out.push_str("        buildDiscarder(logRotator(numToKeepStr: '50'))\n    }\n");
    if !environments.is_empty() {
        out.push_str(&format!(
            "    parameters {{\n        choice(name: 'ACTION', choices: ['deploy', 'rollback'], description: 'What to do')\n        \
             choice(name: 'ENVIRONMENT', choices: [{}], description: 'Where to go back')\n        \
             string(name: 'RELEASE', defaultValue: '', description: 'The release to run again; the one before when empty')\n    }}\n",
            environments.join(", ")
        ));
    }
    out
}

/// A step of shell. A script of several lines stands at the left edge, see [`indented`].
fn sh(script: &str) -> String {
    let script = script.trim_end();
    match script.contains('\n') {
        true => format!("sh '''\\\n{}\n'''\n", groovy_escaped(script)),
        false => format!("sh {}\n", groovy(script)),
    }
}

/// Puts `spaces` in front of every line, but for those of a script: a space more would end no here-document.
fn indented(text: &str, spaces: usize) -> String {
    let mut out = String::new();
    let mut inside = false;
    for line in text.lines() {
        if !inside && !line.is_empty() {
            out.push_str(&" ".repeat(spaces));
        }
        out.push_str(line);
        out.push('\n');
        // Quotes in a script are escaped, so three of them only begin or end one.
        inside ^= line.matches("'''").count() % 2 == 1;
    }
    out
}

fn stage(title: &str, before: &str, steps: &str) -> String {
    format!(
        "stage({}) {{\n{}    steps {{\n{}    }}\n}}\n",
        groovy(title),
        indented(before, 4),
        indented(steps, 8)
    )
}

fn verify(options: &Options) -> String {
    let mut out = stage("Check out", "", "checkout scm\n");
    let of = |stage: Stage| -> Vec<&Command> { options.commands.iter().filter(|one| one.stage == stage).collect() };
    let simple = |kind: Stage| -> String {
        let tests = matches!(kind, Stage::Unit | Stage::Integration | Stage::Coverage);
        let urls = match tests && !options.scratch.is_empty() {
            true => format!(". {SCRATCH_FILE}\n"),
            false => String::new(),
        };
        let steps: String = of(kind)
            .iter()
            .map(|command| sh(&format!("{urls}{}", command.run)))
            .collect();
        let timeout = format!("options {{ timeout(time: {VERIFY_MINUTES}, unit: 'MINUTES') }}\n");
        match steps.is_empty() {
            true => String::new(),
            false => stage(kind.title(), &timeout, &steps),
        }
    };
    out.push_str(&simple(Stage::Install));
    // What needs no database and changes nothing runs side by side.
    let mut quality: String = [Stage::Lint, Stage::Types, Stage::Audit]
        .into_iter()
        .map(simple)
        .collect();
    if let Some(program) = &options.tend {
        let script = format!(
            "curl --silent --show-error --fail --location --retry 3 --output tend-program {}\nprintf '%s  %s\\n' {} tend-program | sha256sum --check \
             --quiet\nchmod 755 tend-program\n./tend-program check {}\nrm tend-program\n",
            shell(&program.url),
            shell(&program.sha256),
            shell(&options.stack)
        );
        quality.push_str(&stage("Check the stack file", "", &sh(&script)));
    }
    if !quality.is_empty() {
        out.push_str(&format!(
            "stage('Quality') {{\n    parallel {{\n{}    }}\n}}\n",
            indented(&quality, 8)
        ));
    }
    let mut tests = String::new();
    for kind in [Stage::Unit, Stage::Integration, Stage::Coverage] {
        tests.push_str(&simple(kind));
    }
    if !tests.is_empty() {
        out.push_str(&with_scratch(options, &tests));
    }
    out.push_str(&simple(Stage::Build));
    if !options.artifacts.is_empty() {
        let paths = groovy(&options.artifacts.join(","));
        out.push_str(&stage(
            "Keep what was built",
            "",
            &format!("archiveArtifacts artifacts: {paths}, fingerprint: true\n"),
        ));
    }
    out
}

/// The tests, between the start and the end of the scratch databases.
fn with_scratch(options: &Options, tests: &str) -> String {
    let mut post = options.coverage.as_ref().map_or_else(String::new, |folder| {
        let paths = groovy(&format!("{}/**", folder.trim_end_matches('/')));
        format!("success {{\n    archiveArtifacts artifacts: {paths}, allowEmptyArchive: true\n}}\n")
    });
    let mut stages = String::new();
    if !options.scratch.is_empty() {
        let mut start = String::new();
        for server in options.servers() {
            start.push_str(&start_scratch(server));
            for scratch in options.scratch.iter().filter(|scratch| scratch.engine == server.engine) {
                start.push_str(&format!(
                    "echo \"export {}={}\" >> {SCRATCH_FILE}\n",
                    scratch.variable,
                    scratch.url("$port")
                ));
            }
        }
        stages = stage("Start empty databases", "", &sh(&format!("{END_SCRATCH}{start}")));
        post.push_str(&format!("always {{\n{}}}\n", indented(&sh(END_SCRATCH), 4)));
    }
    stages.push_str(tests);
    let post = match post.is_empty() {
        true => String::new(),
        false => format!("    post {{\n{}    }}\n", indented(&post, 8)),
    };
    format!(
        "stage('Tests') {{\n    stages {{\n{}    }}\n{post}}}\n",
        indented(&stages, 8)
    )
}

/// Where the start of the databases leaves their URLs for the tests.
const SCRATCH_FILE: &str = "./scratch.env";

/// Removes what this run or one that was killed here before started.
const END_SCRATCH: &str = r#"for id in scratch-*.id; do
    [ -f "$id" ] || continue
    docker rm --force --volumes "$(cat "$id")" || true
    rm -f "$id"
done
rm -f ./scratch.env
"#;

/// Starts a server and leaves its port in `port`. Docker chooses it, so that two runs on one agent do not meet.
fn start_scratch(scratch: &Scratch) -> String {
    let mut run = String::new();
    for (name, value) in scratch.environment() {
        run.push_str(&format!(" --env {name}={value}"));
    }
    format!(
        r#"docker run --detach --cidfile scratch-{name}.id{run} --publish 127.0.0.1::{port} {image}
id=$(cat scratch-{name}.id)
tries=0
until docker exec "$id" {health}; do
    tries=$((tries + 1))
    [ "$tries" -lt 60 ] || {{ docker logs "$id"; exit 1; }}
    sleep 2
done
port=$(docker port "$id" {port}/tcp | head -n 1 | sed 's/.*://')
"#,
        name = scratch.name(),
        port = scratch.port(),
        image = shell(&scratch.image()),
        health = scratch.health(),
    )
}

fn image_stage(image: &Image) -> String {
    let script = format!(
        r#"name={name}
# Tagged by branch, request, commit and version. A request is built and not pushed.
tags="sha-$(git rev-parse --short=7 HEAD)"
[ -z "${{TAG_NAME:-}}" ] || tags="$tags ${{TAG_NAME#v}}"
[ -z "${{CHANGE_ID:-}}" ] || tags="$tags pr-$CHANGE_ID"
[ -n "${{TAG_NAME:-}}${{CHANGE_ID:-}}" ] || tags="$tags $(printf '%s' "$BRANCH_NAME" | tr -c 'A-Za-z0-9_.-' '-')"
set --
for tag in $tags; do
    set -- "$@" --tag "$name:$tag"
done
docker build --file {dockerfile} "$@" {context}
if [ -z "${{CHANGE_ID:-}}" ]; then
    set +x
    printf '%s' "$REGISTRY_PASSWORD" | docker login --username "$REGISTRY_USER" --password-stdin {registry}
    for tag in $tags; do
        docker push "$name:$tag"
    done
    docker logout {registry}
fi
"#,
        name = shell(&format!("{}/{}", image.registry, image.repository)),
        dockerfile = shell(&image.dockerfile),
        context = shell(&image.context),
        registry = shell(&image.registry),
    );
    let steps = format!(
        "withCredentials([usernamePassword(credentialsId: 'registry', usernameVariable: 'REGISTRY_USER', passwordVariable: \
         'REGISTRY_PASSWORD')]) {{\n{}}}\n",
        indented(&sh(&script), 4)
    );
    let timeout = format!("options {{ timeout(time: {VERIFY_MINUTES}, unit: 'MINUTES') }}\n");
    stage("Image", &timeout, &steps)
}

/// The condition on what is built.
fn pushed(target: &Target) -> String {
    let mut any: String = target
        .branches
        .iter()
        .map(|branch| format!("branch pattern: {}, comparator: 'EQUALS'\n", groovy(branch)))
        .collect();
    if let Some(prefix) = &target.tag_prefix {
        any.push_str(&format!(
            "tag pattern: {}, comparator: 'GLOB'\n",
            groovy(&format!("{prefix}*"))
        ));
    }
    if any.is_empty() {
        any.push_str("expression { false }\n");
    }
    format!(
        "when {{\n    beforeInput true\n    anyOf {{\n{}    }}\n}}\n",
        indented(&any, 8)
    )
}

fn at_machine(name: &str, steps: &str) -> String {
    format!(
        "withCredentials([\n    sshUserPrivateKey(credentialsId: 'deploy-key-{name}', keyFileVariable: '{}'),\n    \
         file(credentialsId: 'deploy-known-hosts-{name}', variable: '{}')\n]) {{\n{}}}\n",
        script::SSH_KEY,
        script::KNOWN_HOSTS,
        indented(steps, 4)
    )
}

/// What the scripts read, from what Jenkins knows of the run.
const RUN: &str = "COMMIT=$(git rev-parse HEAD)\nRUN_URL=$BUILD_URL\n";

fn deploy(stack: &Stack, options: &Options, target: &Target, name: &str) -> String {
    let environment = &target.environment;
    let mut before = pushed(target);
    if target.approval {
        before.push_str(&format!(
            "options {{ timeout(time: {APPROVAL_HOURS}, unit: 'HOURS') }}\ninput {{\n    message {}\n    ok 'Deploy'\n}}\n",
            groovy(&format!("Deploy {} to {environment}?", stack.name))
        ));
    } else {
        before.push_str(&format!(
            "options {{ timeout(time: {DEPLOY_MINUTES}, unit: 'MINUTES') }}\n"
        ));
    }
    let mut steps = sh(&format!("{RUN}{}", script::deploy(options, target)));
    if let Some(url) = &target.url {
        let back = sh(&format!(
            "RUN_URL=$BUILD_URL\nRELEASE=\n{}",
            script::rollback(options, target)
        ));
        steps.push_str(&format!(
            "script {{\n    try {{\n{}    }} catch (failed) {{\n        // The release that clients cannot reach does not stay.\n{}        \
             throw failed\n    }}\n}}\n",
            indented(&sh(&script::smoke(stack, url)), 8),
            indented(&back, 8)
        ));
    }
    stage(&format!("Deploy to {environment}"), &before, &at_machine(name, &steps))
}

fn rollback(options: &Options, target: &Target, name: &str) -> String {
    let environment = &target.environment;
    let before = format!(
        "when {{ expression {{ params.ACTION == 'rollback' && params.ENVIRONMENT == {} }} }}\noptions {{ timeout(time: {DEPLOY_MINUTES}, unit: \
         'MINUTES') }}\n",
        groovy(environment)
    );
    let steps = sh(&format!("RUN_URL=$BUILD_URL\n{}", script::rollback(options, target)));
    stage(&format!("Go back on {environment}"), &before, &at_machine(name, &steps))
}

fn post(stack: &Stack, options: &Options) -> String {
    if !options.notice {
        return String::new();
    }
    let tell = |result: &str| {
        let script = format!(
            "set +x\nCOMMIT=$GIT_COMMIT\nRUN_URL=$BUILD_URL\nRESULT={result}\n{}",
            script::notice(stack)
        );
        format!(
            "        {} {{\n            withCredentials([string(credentialsId: 'notice-webhook', variable: 'NOTICE_WEBHOOK')]) {{\n{}            \
             }}\n        }}\n",
            if result == "done" { "success" } else { "failure" },
            indented(&sh(&script), 16)
        )
    };
    format!("    post {{\n{}{}    }}\n", tell("done"), tell("failed"))
}
