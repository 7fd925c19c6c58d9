//! Responses: whatever an upstream says, no client gets an answer that was not for it, and none is left with half a reading.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::corpus::{self, Case, Want};
use super::exchange::{self, Front, NEXT};
use super::known;
use super::recorder::{Answer, Recorder};
use super::requests::{Ours, on_lanes};
use super::strict::{self, Request, Response, Stop};

const LANES: usize = 8;

/// What the upstream of a lane says to `/poison`.
type Poison = Arc<Mutex<Answer>>;

fn upstream(poison: &Poison) -> impl Fn(&Request) -> Answer + Send + Sync + 'static {
    let poison = poison.clone();
    move |request| {
        if request.target != "/poison" {
            return Answer::echo(request);
        }
        let poison = poison.lock().unwrap();
        Answer {
            bytes: poison.bytes.clone(),
            close: poison.close,
        }
    }
}

/// Returns the final responses of a connection in order, and whether what is left is the beginning of one.
fn read_all(mut rest: &[u8], asked: &[&str]) -> Result<(Vec<Response>, bool), String> {
    let mut responses = Vec::new();
    while !rest.is_empty() {
        let bodiless = asked.get(responses.len()) == Some(&"HEAD");
        match strict::response(rest, bodiless, true) {
            Ok((response, used)) => {
                rest = &rest[used..];
                if response.status >= 200 {
                    responses.push(response);
                }
            }
            Err(Stop::More) => return Ok((responses, true)),
            Err(Stop::Wrong(why)) => return Err(format!("{why} in {}", String::from_utf8_lossy(rest).escape_debug())),
        }
    }
    Ok((responses, false))
}

/// Checks what came on the connection that asked for the poison and then for `/next`.
fn judge(case: &Case, answered: &[u8]) -> Result<(), String> {
    let (responses, cut) = read_all(answered, &[&case.asked, "GET"])?;
    let mut responses = responses.into_iter();
    let wanted = case
        .reads
        .first()
        .map(|read| (read.method.parse::<u16>().unwrap(), &read.body));
    match responses.next() {
        None if case.want == Want::Forward => return Err("no whole response".to_owned()),
        None => return Ok(()),
        // A body that was cut is a whole one to a client only when the end of the connection is its end, and then nothing tells it.
        Some(response) if response.until_end && case.want == Want::Refuse && response.status < 500 => {
            return Err(format!("a broken response looks whole: {response:?}"));
        }
        Some(response) if wanted == Some((response.status, &response.body)) => {}
        Some(response) if response.status == 502 || response.status == 504 => {
            if case.want == Want::Forward {
                return Err(format!("refused with {}", response.status));
            }
        }
        Some(response) => {
            let body = String::from_utf8_lossy(&response.body);
            return Err(format!(
                "wanted {:?} {wanted:?}, got {} {body:?}",
                case.want, response.status
            ));
        }
    }
    match responses.next() {
        None => Ok(()),
        Some(next) if next.body == b"GET /next 0" && !cut && responses.next().is_none() => Ok(()),
        Some(next) => Err(format!(
            "the next request was answered {:?}",
            String::from_utf8_lossy(&next.body)
        )),
    }
}

fn run(lane: &(std::net::SocketAddr, Recorder), poison: &Poison, case: &Case) -> Vec<String> {
    *poison.lock().unwrap() = Answer {
        bytes: case.bytes.clone(),
        close: case.alone,
    };
    let (address, recorder) = lane;
    let front = Front::Tcp(*address);
    let ask = format!("{} /poison HTTP/1.1\r\nHost: edge.test\r\n\r\n{NEXT}", case.asked);
    let mut found = Vec::new();
    if let Err(why) = judge(case, &exchange::send(front, ask.as_bytes(), usize::MAX, false)) {
        found.push(why);
    }
    // Others come upon the connection that the edge may have kept.
    for other in 0..3 {
        let ask = NEXT.replace("/next", &format!("/other/{other}"));
        let answered = exchange::send(front, ask.as_bytes(), usize::MAX, false);
        let echo = format!("GET /other/{other} 0");
        match read_all(&answered, &["GET"]) {
            Ok((responses, false)) if responses.len() == 1 && responses[0].body == echo.as_bytes() => {}
            _ => found.push(format!(
                "another client got {}",
                String::from_utf8_lossy(&answered).escape_debug()
            )),
        }
    }
    found.extend(recorder.take().wrong);
    found
}

#[test]
fn whatever_an_upstream_answers_no_client_gets_what_was_not_for_it() {
    let cases = corpus::read("responses");
    let poisons: Vec<Poison> = (0..LANES)
        .map(|_| {
            Arc::new(Mutex::new(Answer {
                bytes: Vec::new(),
                close: false,
            }))
        })
        .collect();
    let recorders = poisons
        .iter()
        .map(|poison| Recorder::start(strict::request, upstream(poison)));
    let ours = Ours::with(recorders.collect());
    let found = on_lanes(LANES, &cases, |lane, case| run(&ours.lanes[lane], &poisons[lane], case));
    let named = cases.iter().map(|case| format!("responses {}", case.name)).zip(found);
    known::compare(
        "responses",
        &named.filter(|(_, found)| !found.is_empty()).collect::<BTreeMap<_, _>>(),
    );
}
