//! What replicas that run are given of the revision in force, and what each of them holds of it, as far as that was observed.
//!
//! ```text
//!            begin                write              tell, once ready
//!  started ────────► file ─────────────────► written ─────────────────► held
//!     │                                         (no signal: at once)
//!     ├────────────► socket ── publish ──► ack ───────────────────────► held
//!     └────────────► variables ───────────────────────────────────────► held
//! ```
//! What is about to be in force is told before it is durable ([`Deliveries::expect`]): who is started for it right after finds it. Replicas of
//! the release that a deployment brings hold that from their start, all others what was in force before, until it is decided which of the
//! two stays.
//!
//! Pure: who opens sockets, writes files and sends signals asks here what is to be done, and says here what became of it. The simulator's
//! chapter `config` drives the same value.
//!
//! Invariant: what a life is said to hold was written, and then told to it, or acknowledged by that very life.

use std::collections::BTreeMap;
use std::sync::Arc;

use tend_core::model::{DeliveryForm, ReplicaId, ServiceName, StackName};
use tend_core::observed::Phase;
use tend_core::world::World;

use crate::ask::Taker;
use crate::live::{Holding, Liveness};

/// In which way a part of a revision reaches a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// As variables, which the controller has.
    Environment,
    /// On a socket.
    Watch,
    /// In a file, with a signal where the service has one.
    File {
        /// Whether it is told by a signal that its file is another.
        is_signalled: bool,
    },
}

/// What the replicas of a service are given of a revision.
pub trait Part {
    /// Returns its number.
    fn revision(&self) -> u64;
    /// Returns in which way it is given.
    fn way(&self) -> Way;
}

/// What is known of one life of a replica.
#[derive(Clone, Debug, Default)]
struct Life {
    incarnation: u64,
    /// The revision that it was started for.
    since: u64,
    /// It was started for a revision that is gone: it is given nothing any more.
    is_left: bool,
    held: Option<u64>,
    written: Option<u64>,
    /// Its file was written anew, and it was not told yet.
    is_to_be_told: bool,
    /// Why it does not have the newest.
    refused: Option<(u64, String)>,
}

impl Life {
    fn hold(&mut self, revision: u64) -> u64 {
        let held = self.held.map_or(revision, |before| before.max(revision));
        self.held = Some(held);
        if self.refused.as_ref().is_some_and(|(of, _)| *of <= revision) {
            self.refused = None;
        }
        held
    }
}

/// Somebody whose file was written anew, and who is to be told by a signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telling {
    /// Who.
    pub replica: ReplicaId,
    /// Which life of it.
    pub incarnation: u64,
    /// What its file has.
    pub revision: u64,
}

impl Telling {
    /// Returns whether it may be told now: who is not ready may not listen yet, and the default of most signals is its end.
    #[must_use]
    pub fn hears(&self, known: &[TakingReplica]) -> bool {
        let same = |known: &TakingReplica| known.id == self.replica && known.incarnation == self.incarnation;
        known.iter().any(|known| same(known) && known.is_ready)
    }
}

/// What each service is given.
type Parts<P> = BTreeMap<ServiceName, Arc<P>>;

/// A life that watches, and what is to be published to it.
pub type Publication<P> = (ReplicaId, u64, Arc<P>);

/// All that is given to replicas, and what they hold.
#[derive(Clone, Debug)]
pub struct Deliveries<P> {
    parts: BTreeMap<StackName, Parts<P>>,
    /// What is about to be in force, with the number of its revision.
    coming: BTreeMap<StackName, (u64, Parts<P>)>,
    lives: BTreeMap<ReplicaId, Life>,
}

impl<P> Default for Deliveries<P> {
    fn default() -> Self {
        Self {
            parts: BTreeMap::new(),
            coming: BTreeMap::new(),
            lives: BTreeMap::new(),
        }
    }
}

impl<P: Part> Deliveries<P> {
    /// Returns what a service is given of the revision in force.
    #[must_use]
    pub fn part_of(&self, stack: &StackName, service: &ServiceName) -> Option<&Arc<P>> {
        self.parts.get(stack)?.get(service)
    }

    /// Returns what a replica is given that is started for a revision: of that or a later one; nothing while that is not at hand.
    #[must_use]
    pub fn part_since(&self, replica: &ReplicaId, revision: u64) -> Option<&Arc<P>> {
        let coming = self.coming.get(&replica.stack).filter(|(of, _)| *of <= revision);
        let parts = coming
            .map(|(_, parts)| parts)
            .or_else(|| self.parts.get(&replica.stack))?;
        let part = parts.get(&replica.service);
        part.filter(|part| part.revision() >= revision)
    }

    /// Returns what a replica that runs is given from now on.
    #[must_use]
    pub fn part(&self, replica: &ReplicaId) -> Option<&Arc<P>> {
        let life = self.lives.get(replica).filter(|life| !life.is_left)?;
        self.part_since(replica, life.since)
    }

    /// Takes what the services of a stack are given from now on; returns the lives that watch, to whom it is to be published at once. Files
    /// are named by [`Self::unwritten`].
    pub fn deliver(&mut self, stack: &StackName, parts: BTreeMap<ServiceName, P>) -> Vec<Publication<P>> {
        let parts = shared(parts);
        let newest = parts.values().map(|part| part.revision()).max();
        if self
            .coming
            .get(stack)
            .is_some_and(|(coming, _)| Some(*coming) <= newest)
        {
            self.coming.remove(stack);
        }
        self.parts.insert(stack.clone(), parts);
        self.publications(stack, |_| true)
    }

    /// Takes what the services of a stack are given of a revision that is about to be in force: who is started for it is given that, and
    /// nobody else. Returns as [`Self::deliver`] does.
    pub fn expect(&mut self, stack: &StackName, revision: u64, parts: BTreeMap<ServiceName, P>) -> Vec<Publication<P>> {
        self.coming.insert(stack.clone(), (revision, shared(parts)));
        self.publications(stack, |life| life.since >= revision)
    }

    /// Puts what was about to be in force there. Returns as [`Self::deliver`] does.
    pub fn fulfil(&mut self, stack: &StackName) -> Vec<Publication<P>> {
        let Some((revision, parts)) = self.coming.remove(stack) else {
            return Vec::new();
        };
        self.parts.insert(stack.clone(), parts);
        // The others were given it when it was about to come.
        self.publications(stack, |life| life.since < revision)
    }

    /// Forgets what was about to be in force: it will not be, and who was started for it is given nothing any more.
    pub fn unexpect(&mut self, stack: &StackName) {
        if let Some((revision, _)) = self.coming.remove(stack) {
            let lives = self.lives.iter_mut().filter(|(id, _)| id.stack == *stack);
            for (_, life) in lives.filter(|(_, life)| life.since >= revision) {
                life.is_left = true;
            }
        }
    }

    fn publications(&self, stack: &StackName, concerned: impl Fn(&Life) -> bool) -> Vec<Publication<P>> {
        let lives = self.lives.iter();
        let lives = lives.filter(|(id, life)| id.stack == *stack && concerned(life));
        let watching = lives.filter_map(|(id, life)| {
            let part = self.part(id).filter(|part| part.way() == Way::Watch)?;
            Some((id.clone(), life.incarnation, Arc::clone(part)))
        });
        watching.collect()
    }

    /// Begins to look after a life that was started for the revision `since`: from now on it is given what is newest, and what became of an
    /// earlier life does not count.
    pub fn begin(&mut self, replica: &ReplicaId, (incarnation, since): (u64, u64)) {
        let life = Life {
            incarnation,
            since,
            ..Life::default()
        };
        self.lives.insert(replica.clone(), life);
    }

    /// Begins to look after a life that an earlier daemon started for the revision `since`, and that is known to hold `held`.
    pub fn adopt(&mut self, replica: &ReplicaId, (incarnation, since): (u64, u64), held: Option<u64>) {
        let newest = self.part_since(replica, since).map(|part| part.revision());
        let life = Life {
            incarnation,
            since,
            held,
            // Whether it was told of what its file holds is not known.
            is_to_be_told: held != newest,
            ..Life::default()
        };
        self.lives.insert(replica.clone(), life);
    }

    /// Returns whether a life is looked after.
    #[must_use]
    pub fn is_known(&self, replica: &ReplicaId, incarnation: u64) -> bool {
        self.life(replica, incarnation).is_some()
    }

    /// Returns which life of a replica is looked after.
    #[must_use]
    pub fn incarnation(&self, replica: &ReplicaId) -> Option<u64> {
        self.lives.get(replica).map(|life| life.incarnation)
    }

    fn life(&self, replica: &ReplicaId, incarnation: u64) -> Option<&Life> {
        self.lives.get(replica).filter(|life| life.incarnation == incarnation)
    }

    fn life_mut(&mut self, replica: &ReplicaId, incarnation: u64) -> Option<&mut Life> {
        let life = self.lives.get_mut(replica);
        life.filter(|life| life.incarnation == incarnation)
    }

    /// Returns whose file differs from what it is to hold, or was not looked at yet.
    #[must_use]
    pub fn unwritten(&self, stack: &StackName) -> Vec<ReplicaId> {
        let lives = self.lives.iter().filter(|(id, _)| id.stack == *stack);
        let behind = lives.filter(|(id, life)| {
            let part = self.part(id);
            part.is_some_and(|part| matches!(part.way(), Way::File { .. }) && life.written != Some(part.revision()))
        });
        behind.map(|(id, _)| id.clone()).collect()
    }

    /// Notes that the file of a life has a revision now, and whether it had to be `changed` for that; returns whether the life has to be told
    /// before it holds it. Where not, it is to be said that it was [`Self::told`].
    pub fn written(&mut self, replica: &ReplicaId, incarnation: u64, revision: u64, changed: bool) -> bool {
        let is_signalled = self
            .part(replica)
            .is_some_and(|part| part.way() == Way::File { is_signalled: true });
        let Some(life) = self.life_mut(replica, incarnation) else {
            return false;
        };
        life.written = Some(revision);
        life.is_to_be_told |= changed;
        life.is_to_be_told && is_signalled
    }

    /// Returns who is to be told of a new file: by the signal of its service, once it is ready to hear it.
    #[must_use]
    pub fn untold(&self, stack: &StackName) -> Vec<Telling> {
        let lives = self.lives.iter();
        let lives = lives.filter(|(id, life)| id.stack == *stack && life.is_to_be_told);
        let untold = lives.filter_map(|(id, life)| {
            let signalled = Way::File { is_signalled: true };
            self.part(id).filter(|part| part.way() == signalled)?;
            Some(Telling {
                replica: id.clone(),
                incarnation: life.incarnation,
                revision: life.written?,
            })
        });
        untold.collect()
    }

    /// Notes that a life knows of what its file has: that is what it holds from now on. Returns what it holds; nothing when its file has
    /// another revision by now, of which it is to be told too.
    pub fn told(&mut self, replica: &ReplicaId, incarnation: u64, revision: u64) -> Option<u64> {
        let life = self.life_mut(replica, incarnation);
        let life = life.filter(|life| life.written == Some(revision))?;
        life.is_to_be_told = false;
        Some(life.hold(revision))
    }

    /// Notes that a life holds a revision: it said so, or was started with it. Returns what it holds; nothing when it is not looked after.
    pub fn held(&mut self, replica: &ReplicaId, incarnation: u64, revision: u64) -> Option<u64> {
        Some(self.life_mut(replica, incarnation)?.hold(revision))
    }

    /// Notes why a life does not have a revision.
    pub fn refused(&mut self, replica: &ReplicaId, incarnation: u64, revision: u64, why: String) {
        if let Some(life) = self.life_mut(replica, incarnation) {
            life.refused = Some((revision, why));
        }
    }

    /// Forgets the lives of a stack that are over; returns them.
    pub fn retain(&mut self, stack: &StackName, is_alive: impl Fn(&ReplicaId, u64) -> bool) -> Vec<(ReplicaId, u64)> {
        let lives = self.lives.iter().filter(|(id, _)| id.stack == *stack);
        let over: Vec<(ReplicaId, u64)> = lives
            .filter(|(id, life)| !is_alive(id, life.incarnation))
            .map(|(id, life)| (id.clone(), life.incarnation))
            .collect();
        for (replica, _) in &over {
            self.lives.remove(replica);
        }
        over
    }

    /// Forgets what a stack's services are given; returns its lives.
    pub fn forget(&mut self, stack: &StackName) -> Vec<(ReplicaId, u64)> {
        self.parts.remove(stack);
        self.coming.remove(stack);
        self.retain(stack, |_, _| false)
    }

    /// Returns the revision a life is known to hold, and why not the newest.
    #[must_use]
    pub fn holding(&self, replica: &ReplicaId, incarnation: u64) -> (Option<u64>, Option<String>) {
        let life = self.life(replica, incarnation);
        let newest = self.part(replica).map(|part| part.revision());
        let refused = life.and_then(|life| life.refused.clone());
        let refused = refused.filter(|(of, _)| Some(*of) == newest);
        (life.and_then(|life| life.held), refused.map(|(_, why)| why))
    }

    /// Returns what each of these replicas that counts holds, while `revision` is in force.
    #[must_use]
    pub fn holders(&self, known: &[TakingReplica], revision: u64) -> BTreeMap<String, Holding> {
        let counted = known.iter().filter(|known| known.is_counted && known.is_up);
        let holders = counted.map(|known| {
            let (held, refused) = self.holding(&known.id, known.incarnation);
            let holding = Holding {
                // Its variables are those it would be started with now, whichever revision they were taken from.
                revision: match known.by_environment && !known.is_replaced {
                    true => Some(held.map_or(revision, |held| held.max(revision))),
                    false => held,
                },
                is_replaced: known.is_replaced,
                refused,
            };
            (known.id.to_string(), holding)
        });
        holders.collect()
    }
}

fn shared<P>(parts: BTreeMap<ServiceName, P>) -> Parts<P> {
    parts
        .into_iter()
        .map(|(service, part)| (service, Arc::new(part)))
        .collect()
}

/// A replica that takes configuration, as the controller knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakingReplica {
    /// Who.
    pub id: ReplicaId,
    /// Which life of it.
    pub incarnation: u64,
    /// It answered, and may be sent a signal.
    pub is_ready: bool,
    /// It is wanted: who is not, need hold nothing.
    pub is_counted: bool,
    /// There is a process, or is about to be.
    pub is_up: bool,
    /// It is about to end, or was started with another definition, or for another revision, than it would be now.
    pub is_replaced: bool,
    /// It is given configuration as variables.
    pub by_environment: bool,
    /// The revision that came with the release it runs, where a deployment under way brings one; 0 otherwise.
    pub since: u64,
}

impl TakingReplica {
    /// Returns those of a stack that are there.
    #[must_use]
    pub fn all(world: &World, stack: &StackName, takers: &[Taker]) -> Vec<Self> {
        // Whether each that takes it is given it as variables.
        let takers = takers.iter().filter_map(|taker| {
            let service: ServiceName = taker.service.parse().ok()?;
            Some((service, taker.delivery == DeliveryForm::Environment))
        });
        let takers: BTreeMap<ServiceName, bool> = takers.collect();
        let coming = world
            .deployment(stack)
            .and_then(|deployment| deployment.configuration.as_ref());
        let coming = coming.map_or(0, |coming| coming.revision);
        let replicas = world.replicas.iter();
        let replicas = replicas.filter(|(id, replica)| id.stack == *stack && !replica.completed);
        let known = replicas.filter_map(|(id, replica)| {
            let by_environment = *takers.get(&id.service)?;
            let service = world.definition(id);
            let fingerprint = service.map(|service| world.fingerprint_for(id, service));
            Some(Self {
                id: id.clone(),
                incarnation: replica.incarnation,
                is_ready: replica.is_ready(),
                is_counted: world.is_wanted(id),
                is_up: replica.is_up(),
                is_replaced: fingerprint != Some(replica.fingerprint)
                    || matches!(replica.phase, Phase::Stopping { .. }),
                by_environment,
                since: if world.runs_target(id, replica) { coming } else { 0 },
            })
        });
        known.collect()
    }
}

/// What is to be told of who holds a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Everybody holds it.
    Live,
    /// Somebody should, and does not.
    Late,
}

/// What was told of who holds what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The newest revision that was told to be live.
    pub live: u64,
    /// The newest revision that was told to be late.
    pub late: u64,
}

impl Told {
    /// Returns what is to be told of the revision in force, once each.
    #[must_use]
    pub fn news(&mut self, revision: u64, liveness: &Liveness, known: &[TakingReplica]) -> Option<News> {
        // Who was ended to be started anew has nothing, and is told of elsewhere when it does not come back.
        let is_whole = known.iter().all(|known| known.is_up || !known.is_counted);
        let is_held = known.iter().any(|known| known.is_up && known.is_counted);
        match liveness {
            Liveness::Live if self.live < revision && is_held && is_whole => {
                self.live = revision;
                Some(News::Live)
            }
            Liveness::Late(_) if self.late < revision => {
                self.late = revision;
                Some(News::Late)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Given(u64, Way);

    impl Part for Given {
        fn revision(&self) -> u64 {
            self.0
        }

        fn way(&self) -> Way {
            self.1
        }
    }

    const SIGNALLED: Way = Way::File { is_signalled: true };

    fn replica() -> ReplicaId {
        "shop/api/1".parse().unwrap()
    }

    fn deliver(deliveries: &mut Deliveries<Given>, revision: u64, way: Way) -> Vec<u64> {
        let replica = replica();
        let parts = BTreeMap::from([(replica.service, Given(revision, way))]);
        let watching = deliveries.deliver(&replica.stack, parts);
        watching.into_iter().map(|(_, incarnation, _)| incarnation).collect()
    }

    fn known(incarnation: u64, is_ready: bool) -> TakingReplica {
        TakingReplica {
            id: replica(),
            incarnation,
            is_ready,
            is_counted: true,
            is_up: true,
            is_replaced: false,
            by_environment: false,
            since: 0,
        }
    }

    #[test]
    fn what_an_earlier_life_said_does_not_count_for_the_one_that_lives() {
        let mut deliveries = Deliveries::default();
        deliver(&mut deliveries, 1, Way::Watch);
        deliveries.begin(&replica(), (7, 0));
        assert_eq!(deliver(&mut deliveries, 2, Way::Watch), [7]);
        deliveries.begin(&replica(), (8, 0));
        assert_eq!(deliveries.held(&replica(), 7, 2), None);
        assert_eq!(deliveries.holding(&replica(), 8), (None, None));
        assert_eq!(deliveries.held(&replica(), 8, 2), Some(2));
        // What is heard late is older.
        assert_eq!(deliveries.held(&replica(), 8, 1), Some(2));
        assert_eq!(
            deliveries.retain(&replica().stack, |_, incarnation| incarnation != 8),
            [(replica(), 8)]
        );
    }

    #[test]
    fn what_is_about_to_be_in_force_is_given_to_who_is_started_for_it_alone() {
        let (stack, service) = (replica().stack, replica().service);
        let other: ReplicaId = "shop/api/2".parse().unwrap();
        let parts = |revision| BTreeMap::from([(service.clone(), Given(revision, Way::Watch))]);
        let to = |publications: Vec<Publication<Given>>| -> Vec<(u64, u64)> {
            let to = publications.into_iter().map(|(_, life, part)| (life, part.0));
            to.collect()
        };
        for stays in [true, false] {
            let mut deliveries = Deliveries::default();
            deliveries.deliver(&stack, parts(1));
            deliveries.begin(&replica(), (7, 1));
            assert!(deliveries.part_since(&other, 2).is_none(), "it is not at hand");
            assert_eq!(to(deliveries.expect(&stack, 2, parts(2))), []);
            deliveries.begin(&other, (8, 2));
            let have =
                |deliveries: &Deliveries<Given>| [&replica(), &other].map(|id| deliveries.part(id).map(|part| part.0));
            assert_eq!(have(&deliveries), [Some(1), Some(2)]);
            assert_eq!(deliveries.part_since(&replica(), 1).map(|part| part.0), Some(1));
            if stays {
                assert_eq!(to(deliveries.fulfil(&stack)), [(7, 2)]);
                assert_eq!(have(&deliveries), [Some(2), Some(2)]);
                assert_eq!(to(deliveries.deliver(&stack, parts(3))), [(7, 3), (8, 3)]);
            } else {
                deliveries.unexpect(&stack);
                assert_eq!(have(&deliveries), [Some(1), None]);
                assert_eq!(to(deliveries.deliver(&stack, parts(3))), [(7, 3)], "it is left");
            }
            assert_eq!(to(deliveries.fulfil(&stack)), [], "nothing comes any more");
        }
    }

    #[test]
    fn a_file_is_held_when_its_replica_was_told_of_what_is_in_it() {
        let mut deliveries = Deliveries::default();
        deliver(&mut deliveries, 1, SIGNALLED);
        deliveries.begin(&replica(), (7, 0));
        assert_eq!(deliveries.unwritten(&replica().stack), [replica()]);
        assert!(deliveries.written(&replica(), 7, 1, true), "it is to be told");
        let telling = deliveries.untold(&replica().stack).pop().unwrap();
        assert!(telling.hears(&[known(7, true)]));
        assert!(!telling.hears(&[known(7, false)]) && !telling.hears(&[known(8, true)]));
        // It was written again before the signal: that one told of the text before.
        deliver(&mut deliveries, 2, SIGNALLED);
        assert!(deliveries.written(&replica(), 7, 2, true));
        assert_eq!(deliveries.told(&replica(), 7, 1), None);
        assert_eq!(deliveries.told(&replica(), 7, 2), Some(2));
        assert_eq!(deliveries.untold(&replica().stack), []);
        // A revision that changes nothing in it needs no signal.
        deliver(&mut deliveries, 3, SIGNALLED);
        assert!(!deliveries.written(&replica(), 7, 3, false));
        assert_eq!(deliveries.told(&replica(), 7, 3), Some(3));
        // What was written into the place of an earlier life is not in that of this one.
        deliveries.begin(&replica(), (8, 0));
        assert!(!deliveries.written(&replica(), 7, 3, true));
        assert_eq!(deliveries.unwritten(&replica().stack), [replica()]);
    }

    #[test]
    fn a_life_of_an_earlier_daemon_is_told_again_unless_it_is_known_to_hold_what_is_in_force() {
        for (held, tells) in [(Some(2), 0), (Some(1), 1), (None, 1)] {
            let mut deliveries = Deliveries::default();
            deliver(&mut deliveries, 2, SIGNALLED);
            deliveries.adopt(&replica(), (7, 0), held);
            // It was written before that daemon died.
            deliveries.written(&replica(), 7, 2, false);
            assert_eq!(deliveries.untold(&replica().stack).len(), tells, "{held:?}");
        }
    }

    #[test]
    fn who_was_started_with_what_is_in_force_holds_it() {
        let mut deliveries = Deliveries::default();
        deliver(&mut deliveries, 3, Way::Environment);
        deliveries.adopt(&replica(), (7, 0), None);
        let holds = |is_replaced| {
            let known = TakingReplica {
                is_replaced,
                by_environment: true,
                ..known(7, true)
            };
            deliveries.holders(&[known], 3)["shop/api/1"].is_of(3)
        };
        assert!(holds(false), "also where nobody wrote that down");
        assert!(!holds(true));
    }

    #[test]
    fn what_is_live_is_told_once_and_not_before_all_are_there() {
        let mut told = Told::default();
        let gone = TakingReplica {
            is_up: false,
            ..known(8, false)
        };
        assert_eq!(told.news(1, &Liveness::Live, &[]), None, "nobody takes it");
        assert_eq!(told.news(1, &Liveness::Live, &[known(7, true), gone]), None);
        assert_eq!(told.news(1, &Liveness::Live, &[known(7, true)]), Some(News::Live));
        assert_eq!(told.news(1, &Liveness::Live, &[known(7, true)]), None);
        let late = Liveness::Late(["shop/api/1".to_owned()].into());
        assert_eq!(told.news(2, &late, &[known(7, true)]), Some(News::Late));
        assert_eq!(told.news(2, &late, &[known(7, true)]), None);
        assert_eq!(told.news(2, &Liveness::Live, &[known(7, true)]), Some(News::Live));
    }
}
