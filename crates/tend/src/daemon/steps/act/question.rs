//! The smoke questions, asked through the edge: of the new replicas before clients meet them, and once more as a client.
//!
//! Only an answer of a replica of the target counts, and the edge says which one it was: by its name and by its life.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tend_base::Mono;
use tend_core::deployment::Outcome;
use tend_core::model::{ReplicaId, Route, ServiceId, ServiceName, Smoke};
use tend_routing::CANDIDATE_HEADER;

use super::{Scene, counted};
use crate::daemon::now;
use crate::daemon::steps::Performer;
use crate::daemon::steps::probe::{self, Answer, Question};
use crate::daemon::way::Way;

/// How long the edge may take to know the replicas that are asked for.
const EDGE_MAX: Duration = Duration::from_secs(10);

/// Before the edge is asked again.
const AGAIN: Duration = Duration::from_millis(50);

/// How long an answer may take where the stack file asks nothing.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Times each question is asked for each replica until every one was chosen by the edge.
const TRIES_PER_REPLICA: usize = 10;

/// Right answers that are wanted for each replica where it does not matter which one gives them.
const ANSWERS_PER_REPLICA: usize = 3;

/// A life of a replica.
type Life = (ReplicaId, u64);

/// What is asked, and what counts as right.
#[derive(Clone, Debug, PartialEq)]
struct Asked {
    path: String,
    /// This status; any below 500 when absent.
    status: Option<u16>,
    contains: Option<String>,
    timeout: Duration,
}

impl Asked {
    fn of(smoke: &Smoke) -> Self {
        Self {
            path: smoke.path.clone(),
            status: Some(smoke.status),
            contains: smoke.contains.clone(),
            timeout: smoke.timeout,
        }
    }

    /// Any answer that is no failure, at a path that need not mean anything to the service.
    fn anything(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            status: None,
            contains: None,
            timeout: ANSWER_MAX,
        }
    }

    fn at<'a>(&'a self, place: &'a Place) -> Question<'a> {
        Question {
            way: place.way,
            host: &place.host,
            path: &self.path,
            header: place.token.as_deref().map(|token| (CANDIDATE_HEADER, token)),
            timeout: self.timeout,
        }
    }

    /// Says what is wrong with an answer, if anything is.
    fn judge(&self, status: u16, body: &[u8]) -> Result<(), String> {
        match self.status {
            Some(wanted) if status != wanted => {
                return Err(format!("GET {} answered {status}, {wanted} was asked for", self.path));
            }
            None if status >= 500 => return Err(format!("GET {} answered {status}", self.path)),
            _ => {}
        }
        match &self.contains {
            Some(text) if !contains(body, text.as_bytes()) => {
                Err(format!("the answer to GET {} does not hold `{text}`", self.path))
            }
            _ => Ok(()),
        }
    }
}

fn contains(body: &[u8], text: &[u8]) -> bool {
    text.is_empty() || body.windows(text.len()).any(|window| window == text)
}

/// Asks the new replicas at the service's inner address, so that no client is among those who meet them.
pub(super) async fn of_candidates(performer: &Arc<Performer>, scene: &Scene, name: &ServiceName) -> Outcome {
    let Some(service) = scene.target.stack.services.get(name) else {
        return Err(format!("release {} has no service {name}", scene.target.number));
    };
    let routes = routes(scene, name);
    let mut questions: Vec<Asked> = service.smoke.iter().map(Asked::of).collect();
    if questions.is_empty() {
        questions.extend(routes.first().map(|route| Asked::anything(&route.path_prefix)));
    }
    if questions.is_empty() {
        return Ok(json!({ "said": "no question is asked: it has no `smoke` and no route", "answered_by": [] }));
    }
    let id = ServiceId {
        stack: scene.stack().clone(),
        service: name.clone(),
    };
    let inner = inner(performer, id.clone()).await?;
    let place = Place {
        way: Way::plain(inner),
        host: inner.to_string(),
        token: Some(performer.shared.candidate_token.expose().to_owned()),
    };
    let mut answered = Answered::default();
    for asked in &questions {
        answered.add(ask_all(performer, &id, &place, asked, Of::Every).await?);
    }
    Ok(evidence(&questions, &answered))
}

/// Asks as a client does, at every route of the service.
pub(super) async fn as_a_client(performer: &Arc<Performer>, scene: &Scene, name: &ServiceName) -> Outcome {
    let Some(service) = scene.target.stack.services.get(name) else {
        return Err(format!("release {} has no service {name}", scene.target.number));
    };
    let id = ServiceId {
        stack: scene.stack().clone(),
        service: name.clone(),
    };
    let mut all = Vec::new();
    let mut answered = Answered::default();
    for route in routes(scene, name) {
        let questions = public_questions(&service.smoke, route);
        let edge = &scene.target.stack.edge;
        let ways = edge.open_to_this_machine(route).into_iter().map(Way::to);
        let mut places: Vec<Place> = ways
            .map(|way| Place {
                way,
                host: route
                    .host
                    .clone()
                    .map_or_else(|| way.address.to_string(), |host| host.replace('*', "tend")),
                token: None,
            })
            .collect();
        if places.is_empty() && !edge.listeners.is_empty() {
            // Where only others are let in, the service's own address leads through the edge too.
            let inner = inner(performer, id.clone()).await?;
            places.push(Place {
                way: Way::plain(inner),
                host: inner.to_string(),
                token: None,
            });
        }
        for place in places {
            for asked in &questions {
                answered.add(ask_all(performer, &id, &place, asked, Of::Any).await?);
            }
        }
        all.extend(questions);
    }
    Ok(evidence(&all, &answered))
}

/// Who answered rightly.
#[derive(Default)]
struct Answered {
    through_edge: BTreeSet<Life>,
    /// The edge never chose these, so they were asked themselves.
    directly: BTreeSet<Life>,
}

impl Answered {
    fn add(&mut self, other: Self) {
        self.through_edge.extend(other.through_edge);
        self.directly.extend(other.directly);
    }
}

fn evidence(questions: &[Asked], answered: &Answered) -> serde_json::Value {
    let paths: BTreeSet<&str> = questions.iter().map(|asked| asked.path.as_str()).collect();
    let names = |lives: &BTreeSet<Life>| -> Vec<String> {
        let names = lives.iter().map(|(id, incarnation)| format!("{id}.{incarnation}"));
        names.collect()
    };
    let all: BTreeSet<&Life> = answered.through_edge.union(&answered.directly).collect();
    json!({
        "said": format!("{} answered {}", counted(all.len(), "replica"), counted(paths.len(), "question")),
        "questions": paths,
        "answered_by": names(&answered.through_edge),
        "answered_directly": names(&answered.directly),
    })
}

fn routes<'a>(scene: &'a Scene, name: &ServiceName) -> Vec<&'a Route> {
    scene.target.stack.edge.routes_to(name).collect()
}

/// Returns the questions that a client could ask at a route: those whose path it leads to the service, else the route's own.
fn public_questions(smokes: &[Smoke], route: &Route) -> Vec<Asked> {
    let prefix = route.path_prefix.trim_end_matches('/');
    let below = |path: &str| match path.strip_prefix(prefix) {
        Some(rest) => rest.is_empty() || rest.starts_with(['/', '?']) || prefix.is_empty(),
        None => false,
    };
    let questions: Vec<Asked> = smokes
        .iter()
        .filter(|smoke| below(&smoke.path))
        .map(Asked::of)
        .collect();
    match questions.is_empty() {
        true => vec![Asked::anything(&route.path_prefix)],
        false => questions,
    }
}

/// Returns the address at which a service is reached from inside, through the edge.
async fn inner(performer: &Performer, id: ServiceId) -> Result<SocketAddr, String> {
    let of = id.clone();
    let port = performer.hub.ask(move |controller, _| {
        let services = &controller.world().services;
        services.get(&of).and_then(|facts| facts.loopback_port)
    });
    let port = port
        .await
        .ok_or_else(|| format!("{id} has no inner address to be asked at"))?;
    Ok(SocketAddr::from(([127, 0, 0, 1], port)))
}

/// Where questions are asked.
struct Place {
    way: Way,
    host: String,
    /// Asks for a replica that is no client's yet.
    token: Option<String>,
}

/// Returns the lives of the target that are ready, each with its port.
async fn lives(performer: &Performer, id: &ServiceId) -> BTreeMap<Life, u16> {
    let of = id.clone();
    let lives = performer.hub.ask(move |controller, _| {
        let world = controller.world();
        let replicas = world.replicas_of(&of);
        let ready = replicas.filter(|(id, replica)| replica.is_ready() && world.runs_target(id, replica));
        let ready = ready.filter_map(|(id, replica)| Some(((id.clone(), replica.incarnation), replica.port?)));
        ready.collect()
    });
    lives.await
}

/// Whose answers are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Of {
    /// Of every replica at least one: one that the edge never chose is asked itself.
    Every,
    /// Of whoever the edge chooses.
    Any,
}

/// Asks one question again and again; each answer has to be right, and of a replica of the target.
async fn ask_all(
    performer: &Performer,
    id: &ServiceId,
    place: &Place,
    asked: &Asked,
    of: Of,
) -> Result<Answered, String> {
    let lives = lives(performer, id).await;
    if lives.is_empty() {
        return Err(format!("no replica of {id} is ready to be asked"));
    }
    let begun = now().mono;
    let mut answered = Answered::default();
    let mut right = 0;
    let enough = |answered: &Answered, right: usize| match of {
        Of::Every => lives.keys().all(|life| answered.through_edge.contains(life)),
        Of::Any => right >= ANSWERS_PER_REPLICA * lives.len(),
    };
    while !enough(&answered, right) && right < TRIES_PER_REPLICA * lives.len() {
        let answer = probe::ask(&asked.at(place)).await;
        // Of one replica alone it is known who did not answer.
        let answer = answer.map_err(|why| format!("{}{why}", only(&lives)))?;
        let Some(life) = life(&answer) else {
            // The edge answered for itself: it may not have been told of the replicas yet.
            if is_late(begun) {
                return Err(format!(
                    "the edge answered GET {} with {} and no replica did",
                    asked.path, answer.status
                ));
            }
            tokio::time::sleep(AGAIN).await;
            continue;
        };
        if !lives.contains_key(&life) && !self::lives(performer, id).await.contains_key(&life) {
            if is_late(begun) {
                return Err(format!("{} answered GET {} in place of the target", life.0, asked.path));
            }
            // One of the release before may be known to the edge for a moment longer.
            tokio::time::sleep(AGAIN).await;
            continue;
        }
        asked
            .judge(answer.status, &answer.body)
            .map_err(|why| format!("{}: {why}", life.0))?;
        answered.through_edge.insert(life);
        right += 1;
    }
    if of == Of::Every {
        for (life, port) in lives.iter().filter(|(life, _)| !answered.through_edge.contains(*life)) {
            let own = Place {
                way: Way::plain(SocketAddr::from(([127, 0, 0, 1], *port))),
                host: place.host.clone(),
                token: None,
            };
            let judged = match probe::ask(&asked.at(&own)).await {
                Ok(answer) => asked.judge(answer.status, &answer.body),
                Err(why) => Err(why),
            };
            judged.map_err(|why| format!("{}: {why}", life.0))?;
            answered.directly.insert(life.clone());
        }
    }
    Ok(answered)
}

fn is_late(begun: Mono) -> bool {
    now().mono.since(begun) > EDGE_MAX
}

/// Returns the name of the one that is asked, with a colon, when there is no other.
fn only(lives: &BTreeMap<Life, u16>) -> String {
    match lives.keys().next() {
        Some((id, _)) if lives.len() == 1 => format!("{id}: "),
        _ => String::new(),
    }
}

/// Returns who answered, as the edge says; none when the edge answered for itself.
fn life(answer: &Answer) -> Option<Life> {
    let replica = answer.replica.as_deref()?.parse().ok()?;
    Some((replica, answer.incarnation?))
}

#[cfg(test)]
mod tests {
    use tend_core::model::RoutePolicy;

    use super::*;

    #[test]
    fn an_answer_is_right_by_status_and_by_what_it_holds() {
        let asked = Asked {
            path: "/health".to_owned(),
            status: Some(200),
            contains: Some("\"ok\"".to_owned()),
            timeout: ANSWER_MAX,
        };
        assert_eq!(asked.judge(200, b"{\"state\":\"ok\"}"), Ok(()));
        assert!(
            asked
                .judge(500, b"\"ok\"")
                .unwrap_err()
                .contains("answered 500, 200 was asked for")
        );
        assert!(asked.judge(200, b"nothing").unwrap_err().contains("does not hold"));
        let anything = Asked::anything("/");
        assert_eq!(anything.judge(404, b""), Ok(()));
        assert!(anything.judge(500, b"").is_err());
    }

    #[test]
    fn a_client_asks_only_what_its_route_leads_to_the_service() {
        let route = |prefix: &str| Route {
            listeners: Vec::new(),
            host: None,
            path_prefix: prefix.to_owned(),
            service: Some("api".parse().unwrap()),
            policy: RoutePolicy::default(),
        };
        let smoke = |path: &str| Smoke {
            path: path.to_owned(),
            status: 200,
            contains: None,
            timeout: ANSWER_MAX,
        };
        let paths = |prefix: &str, smokes: Vec<Smoke>| -> Vec<String> {
            let prefix = route(prefix);
            let questions = public_questions(&smokes, &prefix);
            questions.into_iter().map(|asked| asked.path).collect()
        };
        assert_eq!(paths("/", vec![smoke("/health")]), ["/health"]);
        assert_eq!(
            paths("/api", vec![smoke("/health"), smoke("/api/ping?x=1")]),
            ["/api/ping?x=1"]
        );
        assert_eq!(paths("/api", vec![smoke("/apix")]), ["/api"]);
        assert_eq!(paths("/api", Vec::new()), ["/api"]);
    }
}
