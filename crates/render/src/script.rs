//! What the pipelines have the shell do, the same on every build server.
//!
//! Owns the scripts: opening the door to the machine, deploying, going back, the smoke questions, tags of an image, the notice.
//! They are of POSIX's shell, and read what differs from run to run from the environment.

use std::time::Duration;

use tend_core::model::{Smoke, Stack};

use crate::options::{Engine, Options, Scratch, Target};
use crate::text::{shell, yaml};

/// The variables that the scripts read.
pub(crate) const SSH_KEY: &str = "SSH_KEY_FILE";
/// The file of host keys: the machine is never believed at first sight.
pub(crate) const KNOWN_HOSTS: &str = "KNOWN_HOSTS_FILE";

/// `ssh` to the machine, reading the script for it from standard input; what follows becomes its `$1` and so on.
fn ssh(target: &Target) -> String {
    format!(
        "ssh -i \"${SSH_KEY}\" -o UserKnownHostsFile=\"${KNOWN_HOSTS}\" -o StrictHostKeyChecking=yes -o BatchMode=yes \\\n    \
         -o ServerAliveInterval=15 -- {} sh -eus --",
        shell(&target.host)
    )
}

/// Deploys the commit in `COMMIT` because of the run in `RUN_URL`, and ends as `tend deploy` ends.
pub(crate) fn deploy(options: &Options, target: &Target) -> String {
    format!(
        r#"{plain}# The release is built on the machine, from this commit: what was tested is what runs.
code=0
{ssh} "$COMMIT" "$RUN_URL" <<'ON_THE_MACHINE' || code=$?
{{
    cd -- {directory}
    git fetch --quiet --tags origin
    git checkout --quiet --detach "$1"
    tend check {stack}
    tend plan --deploy {stack}
    tend deploy --reason "$2" {stack}
}} </dev/null
ON_THE_MACHINE
case $code in
    0) echo "deployed: every proof was seen" ;;
    10) echo "refused: nothing was changed" ;;
    11) echo "failed and undone: the release before serves" ;;
    12) echo "held half-way: somebody has to decide, with tend approve or tend deploy --abort" ;;
    *) echo "not deployed: exit code $code" ;;
esac
exit "$code"
"#,
        plain = PLAIN_URL,
        ssh = ssh(target),
        directory = shell(&target.directory),
        stack = shell(&options.stack),
    )
}

/// Goes back to the release in `RELEASE`, or to the one before when that is empty, because of the run in `RUN_URL`.
pub(crate) fn rollback(options: &Options, target: &Target) -> String {
    format!(
        r#"{plain}case ${{RELEASE:-}} in
    *[!0-9]*) echo "a release is a number, as tend releases lists them"; exit 2 ;;
esac
{ssh} "${{RELEASE:-0}}" "$RUN_URL" <<'ON_THE_MACHINE'
{{
    cd -- {directory}
    to=""
    [ "$1" = 0 ] || to="--to $1"
    tend rollback --check $to {stack}
    tend rollback $to --reason "$2" {stack}
}} </dev/null
ON_THE_MACHINE
"#,
        plain = PLAIN_URL,
        ssh = ssh(target),
        directory = shell(&target.directory),
        stack = shell(&options.stack),
    )
}

/// What `ssh` passes on is read once more by a shell, so nothing that means anything to one may be in it.
const PLAIN_URL: &str = r#"case $RUN_URL in
    *[!A-Za-z0-9:/._%-]*) RUN_URL=pipeline ;;
esac
"#;

/// Asks the smoke questions of the stack from outside: through DNS, TLS and whatever stands before the edge.
pub(crate) fn smoke(stack: &Stack, url: &str) -> String {
    let mut script = String::from(
        r#"ask() { # URL STATUS SECONDS TEXT
    status=$(curl --silent --show-error --max-time "$3" --retry 5 --retry-delay 2 --retry-connrefused \
        --output answer --write-out '%{http_code}' "$1") || status="none"
    if [ "$status" != "$2" ]; then
        echo "$1 answered $status, not $2"
        return 1
    fi
    if [ -n "$4" ] && ! grep -qF -e "$4" answer; then
        echo "the answer of $1 lacks: $4"
        return 1
    fi
    echo "$1 answered $status"
}
"#,
    );
    let url = url.trim_end_matches('/');
    let mut asked = false;
    for smoke in stack.services.values().flat_map(|service| &service.smoke) {
        asked = true;
        let Smoke {
            path,
            status,
            contains,
            timeout,
        } = smoke;
        script.push_str(&format!(
            "ask {} {status} {} {}\n",
            shell(&format!("{url}{path}")),
            seconds(*timeout),
            shell(contains.as_deref().unwrap_or_default())
        ));
    }
    if !asked {
        script.push_str(&format!("ask {} 200 10 ''\n", shell(&format!("{url}/"))));
    }
    script
}

/// Whole seconds, at least one: what curl takes.
fn seconds(timeout: Duration) -> u64 {
    timeout.as_millis().div_ceil(1000).max(1) as u64
}

/// Tells a webhook how it ended; `NOTICE_WEBHOOK` may be empty, and a webhook that cannot be reached fails nothing.
pub(crate) fn notice(stack: &Stack) -> String {
    // DingTalk and WeCom take the same text message. The variables hold words of the build server and hexadecimal, so no quote.
    let head = yaml(&format!("{}: ", stack.name)).trim_matches('"').to_owned();
    format!(
        r#"if [ -n "${{NOTICE_WEBHOOK:-}}" ]; then
    curl --silent --show-error --max-time 10 --header 'Content-Type: application/json' \
        --data "{{\"msgtype\":\"text\",\"text\":{{\"content\":\"{head}$RESULT ($COMMIT) $RUN_URL\"}}}}" \
        "$NOTICE_WEBHOOK" || echo "the notice could not be sent"
fi
"#
    )
}

impl Scratch {
    /// The official image.
    pub(crate) fn image(&self) -> String {
        format!("{}:{}", self.name(), self.version)
    }

    /// The name of the service.
    pub(crate) fn name(&self) -> &'static str {
        match self.engine {
            Engine::Postgres => "postgres",
            Engine::Mysql => "mysql",
            Engine::Redis => "redis",
        }
    }

    /// The port it listens on.
    pub(crate) fn port(&self) -> u16 {
        match self.engine {
            Engine::Postgres => 5432,
            Engine::Mysql => 3306,
            Engine::Redis => 6379,
        }
    }

    /// What it is started with. The password opens an empty database that is gone after the tests.
    pub(crate) fn environment(&self) -> &'static [(&'static str, &'static str)] {
        match self.engine {
            Engine::Postgres => &[("POSTGRES_PASSWORD", "scratch"), ("POSTGRES_DB", "scratch")],
            Engine::Mysql => &[("MYSQL_ROOT_PASSWORD", "scratch"), ("MYSQL_DATABASE", "scratch")],
            Engine::Redis => &[],
        }
    }

    /// The command in it that ends with 0 once it answers. Over TCP, because while it is set up it answers on its socket alone.
    pub(crate) fn health(&self) -> &'static str {
        match self.engine {
            Engine::Postgres => "pg_isready -h 127.0.0.1 -U postgres",
            Engine::Mysql => "mysqladmin ping -h 127.0.0.1 -uroot -pscratch",
            Engine::Redis => "redis-cli ping",
        }
    }

    /// Its URL, with a port in decimal or a variable.
    pub(crate) fn url(&self, port: &str) -> String {
        match self.engine {
            Engine::Postgres => format!("postgresql://postgres:scratch@127.0.0.1:{port}/scratch"),
            Engine::Mysql => format!("mysql://root:scratch@127.0.0.1:{port}/scratch"),
            Engine::Redis => format!("redis://127.0.0.1:{port}"),
        }
    }
}
