//! The class `re-encrypt`: the replicas say how much is not encrypted by the key that they use, and nothing is believed to be done before
//! all of them say 0.

use std::collections::BTreeSet;

use tend_api::{ApiError, Class};
use tend_core::model::{Reencryption, ReplicaId, ServiceId, ServiceName};
use tend_rotation::{Outcome, Which};

use super::super::steps::quiesce;
use super::ground::Ground;

/// Which lives of replicas this daemon told to encrypt the rest anew, by which version.
#[derive(Default)]
pub(super) struct Told(BTreeSet<(ReplicaId, u64, bool)>);

/// Returns whose replicas are asked, and what.
///
/// # Errors
/// When the stack does not say.
pub(super) async fn look_up(ground: &Ground) -> Result<(ServiceName, Reencryption), ApiError> {
    let policy = ground.policy().await;
    match (policy.service, policy.reencryption) {
        (Some(service), Some(reencryption)) => Ok((service, reencryption)),
        _ => Err(ApiError::new(
            Class::Config,
            format!(
                "the stack {} does not say how it is known that nothing is left under the old version of {}",
                ground.stack, ground.secret
            ),
        )
        .hint(
            "write below the secret `rotation: {reencrypt: {left: /PATH}}`: there its service answers how much is left",
        )),
    }
}

/// Asks every replica how much is left, having told those that were not told yet.
pub(super) async fn ask(ground: &Ground, which: Which, told: &mut Told) -> Outcome {
    let failed = |why: String| Outcome::Failed { why };
    let (service, asked) = match look_up(ground).await {
        Ok(found) => found,
        Err(error) => return failed(error.message),
    };
    let id = ServiceId {
        stack: ground.stack.clone(),
        service,
    };
    let of = id.clone();
    let replicas = ground.hub.ask(move |controller, _| {
        let replicas = controller.world().replicas_of(&of);
        let up = replicas.filter(|(_, replica)| replica.pid().is_some());
        let each = up.map(|(id, replica)| {
            let port = replica.port.filter(|_| replica.is_ready());
            (id.clone(), replica.incarnation, port)
        });
        each.collect::<Vec<_>>()
    });
    let replicas = replicas.await;
    if replicas.is_empty() {
        return failed(format!("no replica of {id} is there to be asked"));
    }
    // Of one database they all tell; of data of their own, each does. The most is never too little.
    let mut most = 0;
    for (replica, incarnation, port) in replicas {
        let Some(port) = port else {
            return failed(format!("{replica} is not ready to be asked"));
        };
        let life = (replica, incarnation, which == Which::New);
        let begin = asked.begin.as_deref().filter(|_| !told.0.contains(&life));
        match quiesce::tell_and_ask(port, begin, &asked.left, asked.metric.as_deref()).await {
            Ok(left) => most = most.max(left),
            Err(why) => return failed(format!("{}: {why}", life.0)),
        }
        told.0.insert(life);
    }
    match most {
        0 => Outcome::Done,
        left => Outcome::NotYet {
            left: format!("{left} are left"),
        },
    }
}
