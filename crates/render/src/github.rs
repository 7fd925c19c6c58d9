//! A workflow of GitHub Actions.
//!
//! Owns its form. What its steps have the shell do stands in `script`.

use tend_core::model::Stack;

use crate::options::{Image, Options, Stage, Target, Toolchain};
use crate::script;
use crate::text::{indented, line, shell, yaml, yaml_key, yaml_list};

/// Minutes after which a job that hangs is ended: the tests, and a deploy with its drains, canary and patience.
const VERIFY_MINUTES: u32 = 60;
const DEPLOY_MINUTES: u32 = 120;

/// Renders a workflow for `.github/workflows/<stack>.yml`.
#[must_use]
pub fn github_actions(stack: &Stack, options: &Options) -> String {
    let mut out = head(stack, options);
    out.push_str(&verify(options));
    let mut needs = vec!["verify".to_owned()];
    if let Some(image) = &options.image {
        out.push_str(&image_job(image));
        needs.push("image".to_owned());
    }
    for (target, name) in options.named_targets() {
        out.push_str(&deploy(stack, options, target, &name, &needs));
        needs.push(format!("deploy-{name}"));
    }
    for (target, name) in options.named_targets() {
        out.push_str(&rollback(options, target, &name));
    }
    if options.notice {
        out.push_str(&notice(stack, &needs));
    }
    out
}

fn head(stack: &Stack, options: &Options) -> String {
    let environments: Vec<String> = options
        .targets
        .iter()
        .map(|target| target.environment.clone())
        .collect();
    let mut branches: Vec<String> = Vec::new();
    let mut tags: Vec<String> = Vec::new();
    for target in &options.targets {
        branches.extend(
            target
                .branches
                .iter()
                .filter(|branch| !branches.contains(branch))
                .cloned()
                .collect::<Vec<_>>(),
        );
        tags.extend(
            target
                .tag_prefix
                .iter()
                .map(|prefix| format!("{prefix}*"))
                .filter(|tag| !tags.contains(tag))
                .collect::<Vec<_>>(),
        );
    }
    let mut out = format!(
        "# Tests {name}, and deploys it with tend. Written by `tend render github-actions`; render it again after a change of the stack.\n#\n\
         # Secrets of each environment: DEPLOY_SSH_KEY (a private key that the machine takes) and DEPLOY_KNOWN_HOSTS (the lines of\n\
         # `ssh-keyscan` for it, compared by hand once).",
        name = line(stack.name.as_str()),
    );
    if options.notice {
        out.push_str(" Secret of the repository: NOTICE_WEBHOOK, which may be missing.");
    }
    out.push('\n');
    for target in options.targets.iter().filter(|target| target.approval) {
        out.push_str(&format!(
            "# Each deploy to {0} waits for a person: give the environment {0} required reviewers, under Settings, Environments.\n",
            line(&target.environment)
        ));
    }
    out.push_str(&format!("name: {}\n\non:\n", yaml(stack.name.as_str())));
    if !branches.is_empty() || !tags.is_empty() {
        out.push_str("  push:\n");
        if !branches.is_empty() {
            out.push_str(&format!("    branches: {}\n", yaml_list(&branches)));
        }
        if !tags.is_empty() {
            out.push_str(&format!("    tags: {}\n", yaml_list(&tags)));
        }
    }
    out.push_str("  pull_request:\n");
    if !environments.is_empty() {
        out.push_str(&format!(
            "  # By hand: goes back to an earlier release.\n  workflow_dispatch:\n    inputs:\n      environment:\n        \
             description: Where to go back\n        type: choice\n        required: true\n        options: {}\n      release:\n        \
             description: The release to run again; the one before when empty\n        type: string\n        required: false\n",
            yaml_list(&environments)
        ));
    }
    out.push_str("\npermissions:\n  contents: read\n\njobs:\n");
    out
}

fn verify(options: &Options) -> String {
    let mut out = format!(
        "  verify:\n    if: github.event_name != 'workflow_dispatch'\n    runs-on: ubuntu-latest\n    timeout-minutes: {VERIFY_MINUTES}\n"
    );
    if !options.scratch.is_empty() {
        out.push_str("    # Empty databases for the tests, gone with the job.\n    services:\n");
        for scratch in options.servers() {
            out.push_str(&format!(
                "      {}:\n        image: {}\n",
                scratch.name(),
                yaml(&scratch.image())
            ));
            if !scratch.environment().is_empty() {
                out.push_str("        env:\n");
                for (name, value) in scratch.environment() {
                    out.push_str(&format!("          {name}: {}\n", yaml(value)));
                }
            }
            out.push_str(&format!(
                "        options: >-\n          --health-cmd \"{}\" --health-interval 5s --health-timeout 5s --health-retries 20\n        \
                 ports: [\"{port}:{port}\"]\n",
                scratch.health(),
                port = scratch.port(),
            ));
        }
        out.push_str("    env:\n");
        for scratch in &options.scratch {
            let url = scratch.url(&scratch.port().to_string());
            out.push_str(&format!("      {}: {}\n", yaml_key(&scratch.variable), yaml(&url)));
        }
    }
    out.push_str("    steps:\n      - uses: actions/checkout@v4\n");
    for toolchain in &options.toolchains {
        out.push_str(&set_up(toolchain));
    }
    if let Some(program) = &options.tend {
        let script = format!(
            "curl --silent --show-error --fail --location --retry 3 --output \"$RUNNER_TEMP/tend\" {}\n\
             printf '%s  %s\\n' {} \"$RUNNER_TEMP/tend\" | sha256sum --check --quiet\nchmod 755 \"$RUNNER_TEMP/tend\"\n\"$RUNNER_TEMP/tend\" check {}\n",
            shell(&program.url),
            shell(&program.sha256),
            shell(&options.stack),
        );
        out.push_str(&step("Check the stack file", &script));
    }
    let mut commands: Vec<_> = options.commands.iter().collect();
    commands.sort_by_key(|command| command.stage);
    for command in commands {
        out.push_str(&step(command.stage.title(), &command.run));
        if let (Stage::Coverage, Some(folder)) = (command.stage, &options.coverage) {
            out.push_str(&upload("coverage", std::slice::from_ref(folder)));
        }
    }
    if !options.artifacts.is_empty() {
        out.push_str(&upload("artifacts", &options.artifacts));
    }
    if options.commands.is_empty() && options.tend.is_none() {
        // A job without a step is no job; this one at least says so.
        out.push_str(&step("Nothing to test", "echo \"no command of any stage is known\""));
    }
    out
}

fn set_up(toolchain: &Toolchain) -> String {
    match toolchain {
        Toolchain::Node(version) => format!(
            "      - uses: actions/setup-node@v4\n        with:\n          node-version: {}\n          cache: npm\n",
            yaml(version)
        ),
        Toolchain::Python(version) => format!(
            "      - uses: actions/setup-python@v5\n        with:\n          python-version: {}\n          cache: pip\n",
            yaml(version)
        ),
        Toolchain::Go(version) => format!(
            "      - uses: actions/setup-go@v5\n        with:\n          go-version: {}\n",
            yaml(version)
        ),
        Toolchain::Rust(version) => step(
            "Set up Rust",
            &format!(
                "rustup toolchain install --profile minimal --component clippy,rustfmt {0}\nrustup default {0}\n",
                shell(version)
            ),
        ),
    }
}

fn step(title: &str, script: &str) -> String {
    format!("      - name: {}\n        run: {}", yaml(title), block(script, 10))
}

/// A script as a block where YAML can hold it as it is, else in quotes.
fn block(script: &str, spaces: usize) -> String {
    let odd = |c: char| {
        c.is_control() && c != '\n' && c != '\t' || matches!(c, '\u{2028}' | '\u{2029}' | '\u{85}' | '\u{feff}')
    };
    let text = format!("{}\n", script.trim_end());
    if text.starts_with([' ', '\t', '\n']) || text.contains(odd) {
        return format!("{}\n", yaml(&text));
    }
    format!("|\n{}", indented(&text, spaces))
}

fn upload(name: &str, paths: &[String]) -> String {
    let paths = paths.join("\n");
    format!(
        "      - uses: actions/upload-artifact@v4\n        with:\n          name: {name}\n          path: {}          if-no-files-found: error\n",
        block(&paths, 12)
    )
}

fn image_job(image: &Image) -> String {
    let name = yaml(&format!("{}/{}", image.registry, image.repository));
    format!(
        "\n  # Tagged by branch, request, commit and version. A request is built and not pushed.\n  image:\n    needs: [verify]\n    \
         runs-on: ubuntu-latest\n    timeout-minutes: {VERIFY_MINUTES}\n    permissions:\n      contents: read\n      packages: write\n    \
         steps:\n      - uses: actions/checkout@v4\n      - uses: docker/setup-buildx-action@v3\n      \
         - uses: docker/login-action@v3\n        if: github.event_name == 'push'\n        with:\n          registry: {registry}\n          \
         username: ${{{{ github.actor }}}}\n          password: ${{{{ secrets.GITHUB_TOKEN }}}}\n      \
         - id: tags\n        uses: docker/metadata-action@v5\n        with:\n          images: {name}\n          tags: |\n            \
         type=ref,event=branch\n            type=ref,event=pr\n            type=sha\n            type=semver,pattern={{{{version}}}}\n      \
         - uses: docker/build-push-action@v6\n        with:\n          context: {context}\n          file: {dockerfile}\n          \
         push: ${{{{ github.event_name == 'push' }}}}\n          tags: ${{{{ steps.tags.outputs.tags }}}}\n          \
         labels: ${{{{ steps.tags.outputs.labels }}}}\n          cache-from: type=gha\n          cache-to: type=gha,mode=max\n",
        registry = yaml(&image.registry),
        context = yaml(&image.context),
        dockerfile = yaml(&image.dockerfile),
    )
}

/// The condition on what was pushed, as an expression of GitHub's; a quote in it is doubled.
fn pushed(target: &Target) -> String {
    let quoted = |text: String| format!("'{}'", text.replace('\'', "''"));
    let branches = target.branches.iter();
    let mut any: Vec<String> = branches
        .map(|branch| format!("github.ref == {}", quoted(format!("refs/heads/{branch}"))))
        .collect();
    if let Some(prefix) = &target.tag_prefix {
        any.push(format!(
            "startsWith(github.ref, {})",
            quoted(format!("refs/tags/{prefix}"))
        ));
    }
    match any.is_empty() {
        true => "false".to_owned(),
        false => any.join(" || "),
    }
}

/// The door to the machine: files that only this job has.
fn door() -> String {
    format!(
        "      - name: \"Take the key to the machine\"\n        env:\n          KEY: ${{{{ secrets.DEPLOY_SSH_KEY }}}}\n          \
         HOSTS: ${{{{ secrets.DEPLOY_KNOWN_HOSTS }}}}\n        run: |\n          umask 077\n          \
         printf '%s\\n' \"$KEY\" > \"$RUNNER_TEMP/key\"\n          printf '%s\\n' \"$HOSTS\" > \"$RUNNER_TEMP/known_hosts\"\n          \
         echo \"{}=$RUNNER_TEMP/key\" >> \"$GITHUB_ENV\"\n          echo \"{}=$RUNNER_TEMP/known_hosts\" >> \"$GITHUB_ENV\"\n",
        script::SSH_KEY,
        script::KNOWN_HOSTS,
    )
}

const RUN: &str = "      COMMIT: ${{ github.sha }}\n      \
                   RUN_URL: ${{ github.server_url }}/${{ github.repository }}/actions/runs/${{ github.run_id }}\n";

fn environment(target: &Target, name: &str) -> String {
    let url = target.url.as_ref();
    let url = url.map_or_else(String::new, |url| format!("      url: {}\n", yaml(url)));
    format!(
        "    runs-on: ubuntu-latest\n    timeout-minutes: {DEPLOY_MINUTES}\n    # One at a time; tend has a lock of its own.\n    \
         concurrency:\n      group: deploy-{name}\n      cancel-in-progress: false\n    environment:\n      name: {}\n{url}    env:\n{RUN}",
        yaml(&target.environment)
    )
}

fn deploy(stack: &Stack, options: &Options, target: &Target, name: &str, needs: &[String]) -> String {
    let condition = format!(
        "!failure() && !cancelled() && needs.verify.result == 'success' && github.event_name == 'push' && ({})",
        pushed(target)
    );
    let asks = match stack.deploy.approval {
        true => "  # The stack asks for approval as well: the deploy waits for `tend approve` on the machine.\n",
        false => "",
    };
    let mut out = format!(
        "\n{asks}  deploy-{name}:\n    needs: [{}]\n    if: {}\n{}    steps:\n",
        needs.join(", "),
        yaml(&condition),
        environment(target, name),
    );
    out.push_str(&door());
    out.push_str(&step("Deploy", &script::deploy(options, target)));
    if let Some(url) = &target.url {
        let smoke = format!(
            "      - name: \"Ask as a client does\"\n        id: smoke\n        run: {}",
            block(&script::smoke(stack, url), 10)
        );
        out.push_str(&smoke);
        out.push_str(&format!(
            "      - name: \"Go back\"\n        if: failure() && steps.smoke.outcome == 'failure'\n        run: {}",
            block(&script::rollback(options, target), 10)
        ));
    }
    out
}

fn rollback(options: &Options, target: &Target, name: &str) -> String {
    let condition = format!(
        "github.event_name == 'workflow_dispatch' && inputs.environment == '{}'",
        target.environment.replace('\'', "''")
    );
    let mut out = format!(
        "\n  rollback-{name}:\n    if: {}\n{}      RELEASE: ${{{{ inputs.release }}}}\n    steps:\n",
        yaml(&condition),
        environment(target, name),
    );
    out.push_str(&door());
    out.push_str(&step("Go back", &script::rollback(options, target)));
    out
}

fn notice(stack: &Stack, needs: &[String]) -> String {
    format!(
        "\n  notice:\n    needs: [{}]\n    if: \"!cancelled() && github.event_name == 'push'\"\n    runs-on: ubuntu-latest\n    timeout-minutes: 5\n    \
         env:\n{RUN}      RESULT: ${{{{ contains(needs.*.result, 'failure') && 'failed' || 'done' }}}}\n      \
         NOTICE_WEBHOOK: ${{{{ secrets.NOTICE_WEBHOOK }}}}\n    steps:\n{}",
        needs.join(", "),
        step("Tell", &script::notice(stack)),
    )
}
