//! What a configuration of nginx means here: the chapter `edge`, and what could not be carried over.
//!
//! Nothing is left out in silence: a directive is carried over, known to be needless here, or noted with its line.

mod context;
mod location;
mod server;
mod upstream;
mod yaml;

use std::collections::BTreeMap;

use crate::ReadError;
use crate::read::{Directive, read};
use context::{Context, NEEDLESS};
use yaml::Yaml;

/// What became of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Imported {
    /// The chapter `edge`, as YAML that `tend check` reads once the services it names are there.
    pub chapter: String,
    /// The services that routes lead to and that the configuration does not describe, with the servers nginx sent to.
    pub services: BTreeMap<String, Vec<String>>,
    /// What a person should know, in the order of the lines.
    pub notes: Vec<Note>,
}

/// Something a person should know.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// The line in nginx's file, from 1.
    pub line: u32,
    /// How much it matters.
    pub weight: Weight,
    /// What.
    pub text: String,
}

/// How much a note matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// It was not carried over, and requests are served differently.
    Lost,
    /// It was carried over to something a little different.
    Changed,
    /// It has no place here, and nothing is lost by it.
    Needless,
}

/// Reads a configuration of nginx. `include` gives the text of a file that it includes, or nothing; patterns are given as they stand.
///
/// # Errors
/// When the text, or one that is included, is none that nginx would read.
pub fn import(text: &str, include: &mut dyn FnMut(&str) -> Option<String>) -> Result<Imported, ReadError> {
    let mut importer = Importer::default();
    let tree = importer.included(read(text)?, include, 0)?;
    let chapter = importer.import(&tree);
    importer.notes.sort();
    importer.notes.dedup();
    Ok(Imported {
        chapter,
        services: importer.services,
        notes: importer.notes,
    })
}

/// Files that include each other have an end.
const INCLUDES_MAX: u32 = 16;

/// Everything is gathered here.
#[derive(Default)]
struct Importer {
    notes: Vec<Note>,
    services: BTreeMap<String, Vec<String>>,
    /// `limit_req_zone` and `limit_conn_zone`, by their names.
    zones: BTreeMap<String, Zone>,
    upstreams: BTreeMap<String, upstream::Found>,
    listeners: Vec<server::Listener>,
    certificates: Vec<(String, String)>,
    trusted: Vec<String>,
    tls: server::TlsRules,
    access_log: Option<&'static str>,
    routes: Vec<Yaml>,
}

/// A zone that counts.
struct Zone {
    /// As `key` of a limit is written here; none where nginx counts by something that is not known here.
    key: Option<String>,
    /// `10/s`; none for `limit_conn_zone`.
    rate: Option<String>,
}

impl Importer {
    fn note(&mut self, line: u32, weight: Weight, text: impl Into<String>) {
        self.notes.push(Note {
            line,
            weight,
            text: text.into(),
        });
    }

    /// Puts included files in the place of their `include`.
    fn included(
        &mut self,
        tree: Vec<Directive>,
        include: &mut dyn FnMut(&str) -> Option<String>,
        depth: u32,
    ) -> Result<Vec<Directive>, ReadError> {
        let mut whole = Vec::new();
        for mut directive in tree {
            if let Some(block) = directive.block.take() {
                directive.block = Some(self.included(block, include, depth)?);
            }
            if directive.name != "include" {
                whole.push(directive);
                continue;
            }
            let name = directive.value().to_owned();
            if name.ends_with("mime.types") || name.ends_with("proxy_params") {
                let text = format!("`include {name}`: known here by itself");
                self.note(directive.line, Weight::Needless, text);
                continue;
            }
            match (depth < INCLUDES_MAX).then(|| include(&name)).flatten() {
                Some(text) => {
                    let mut inner = read(&text)?;
                    // Lines of another file would mislead: everything in it is said to be at the include.
                    relocate(&mut inner, directive.line);
                    whole.extend(self.included(inner, include, depth + 1)?);
                }
                None => self.note(
                    directive.line,
                    Weight::Lost,
                    format!("`include {name}`: the file was not read"),
                ),
            }
        }
        Ok(whole)
    }

    fn import(&mut self, tree: &[Directive]) -> String {
        // A file of conf.d has servers at its top.
        let mut level: Vec<Directive> = Vec::new();
        for directive in tree {
            match directive.name.as_str() {
                "http" => level.extend(directive.inside().iter().cloned()),
                "events" => {}
                "stream" | "mail" => {
                    let text = format!("`{}`: the edge speaks HTTP", directive.name);
                    self.note(directive.line, Weight::Lost, text);
                }
                _ => level.push(directive.clone()),
            }
        }
        for directive in &level {
            self.gather(directive);
        }
        let http = Context::root(&level);
        for directive in level.iter().filter(|directive| directive.name == "server") {
            self.server(directive, http);
        }
        self.needless(&level, |name| context::is_rule(name) || context::is_gathered(name));
        self.written()
    }

    /// Takes what servers refer to.
    fn gather(&mut self, directive: &Directive) {
        match directive.name.as_str() {
            "upstream" => self.upstream(directive),
            "limit_req_zone" | "limit_conn_zone" => self.zone(directive),
            "set_real_ip_from" => self.trusted.extend(directive.words.iter().take(1).cloned()),
            "map" | "geo" | "split_clients" => {
                let text = format!("`{}`: there are no variables here", directive.name);
                self.note(directive.line, Weight::Lost, text);
            }
            "proxy_cache_path" => {
                self.note(
                    directive.line,
                    Weight::Lost,
                    "`proxy_cache_path`: the edge keeps no cache",
                );
            }
            _ => {}
        }
    }

    fn zone(&mut self, directive: &Directive) {
        let value = |name: &str| directive.words.iter().find_map(|word| word.strip_prefix(name));
        let Some(name) = value("zone=").map(|zone| zone.split(':').next().unwrap_or(zone)) else {
            return;
        };
        let key = match directive.value() {
            "$binary_remote_addr" | "$remote_addr" => Some("client".to_owned()),
            "$server_name" | "$host" => Some("route".to_owned()),
            other => match other.strip_prefix("$http_") {
                Some(header) => Some(format!("header:{}", header.replace('_', "-"))),
                None => {
                    let text = format!("`{}` counts by `{other}`, which is not known here", directive.name);
                    self.note(directive.line, Weight::Lost, text);
                    None
                }
            },
        };
        let rate = value("rate=").map(|rate| rate.replace("r/", "/"));
        self.zones.insert(name.to_owned(), Zone { key, rate });
    }

    /// Notes what nobody looks at.
    fn needless(&mut self, level: &[Directive], is_known: impl Fn(&str) -> bool) {
        for directive in level.iter().filter(|directive| !is_known(&directive.name)) {
            let needless = NEEDLESS.contains(&directive.name.as_str());
            let (weight, text) = match needless {
                true => (Weight::Needless, format!("`{}`", directive.name)),
                false => (Weight::Lost, format!("`{}` is not known here", directive.name)),
            };
            self.note(directive.line, weight, text);
        }
    }

    fn written(&mut self) -> String {
        let mut edge = Yaml::map();
        edge.put(
            "listen",
            Yaml::list(self.listeners.iter().map(server::Listener::written)),
        );
        if !self.trusted.is_empty() {
            edge.put("trusted", Yaml::texts(&self.trusted));
        }
        if let Some(format) = self.access_log {
            edge.put("access_log", Yaml::flow([("format", Yaml::text(format))]));
        }
        if let Some(tls) = self.tls.written(&self.certificates) {
            edge.put("tls", tls);
        }
        if !self.upstreams.is_empty() {
            let mut upstreams = Yaml::map();
            for (name, found) in &self.upstreams {
                upstreams.put(name, found.written());
            }
            edge.put("upstreams", upstreams);
        }
        edge.put("routes", Yaml::list(std::mem::take(&mut self.routes)));
        let mut file = Yaml::map();
        file.put("edge", edge);
        file.to_string()
    }
}

fn relocate(tree: &mut [Directive], line: u32) {
    for directive in tree {
        directive.line = line;
        if let Some(block) = &mut directive.block {
            relocate(block, line);
        }
    }
}
