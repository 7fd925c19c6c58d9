//! Answers about who is let in nowhere: bans, ends of them, the list. Decides nothing: whom nobody bans is said by `tend_core::ban`.

use tend_api::messages::{Accepted, BanList, BanStatus};
use tend_api::{ApiError, BanAsk, Class, Reply, UnbanAsk};
use tend_base::Wall;
use tend_core::ban::{BanChange, BanRefusal, protected};
use tend_core::controller::Input;
use tend_core::journal::Principal;
use tend_core::model::Prefix;
use tend_core::world::World;

use crate::daemon::handler::Calls;
use crate::daemon::{edge_link, now};

/// How things stand once a change was written down.
enum Stands {
    /// The edge enforces it.
    Enforced,
    /// No stack is up, so no edge runs that could.
    NoEdge,
    /// It does not yet.
    Behind,
}

impl Calls {
    /// Bans addresses, and answers once the edge enforces it.
    pub(crate) async fn ban(&self, ask: BanAsk, by: Principal) -> Result<Reply, ApiError> {
        let until = ask.for_ms.map(|lasts| Wall(now().wall.0.saturating_add(lasts)));
        let change = BanChange::Begin {
            prefixes: ask.addresses,
            until,
            reason: ask.reason,
            forced: ask.force,
        };
        let own = tend_linux::own_addresses();
        self.change_bans(change.clone(), by, move |world| protected(world, &own, ask.from))
            .await?;
        let BanChange::Begin { prefixes, until, .. } = &change else {
            unreachable!("invariant: it was made so above");
        };
        let (prefixes, until) = (prefixes.clone(), *until);
        // Of those that were banned longer before: it is not shortened, and who asks should know.
        let longer = self.hub.ask(move |controller, _| {
            let bans = &controller.world().bans;
            let stays_longer = |prefix: &&Prefix| bans.get(prefix).is_some_and(|ban| ban.until != until);
            prefixes.iter().filter(stays_longer).count()
        });
        let mut what = format!("{change} {}", until_text(until));
        match longer.await {
            0 => {}
            1 if is_one(&change) => what.push_str(", and was banned for longer before: that holds"),
            longer => what.push_str(&format!(
                ", of which {longer} were banned for longer before: that holds"
            )),
        }
        self.told(&what, "the edge enforces it").await
    }

    /// Lets addresses in again, and answers once the edge does.
    pub(crate) async fn unban(&self, ask: UnbanAsk, by: Principal) -> Result<Reply, ApiError> {
        let prefixes = ask.addresses.clone();
        let none = self.hub.ask(move |controller, now| {
            let bans = &controller.world().bans;
            let holds = |prefix: &Prefix| bans.get(prefix).is_some_and(|ban| ban.holds(now.wall));
            !prefixes.iter().any(holds)
        });
        let none = none.await;
        let change = BanChange::End {
            prefixes: ask.addresses,
        };
        self.change_bans(change.clone(), by, |_| Vec::new()).await?;
        let what = if none {
            format!("{change}, and was not before")
        } else {
            change.to_string()
        };
        self.told(&what, "the edge knows").await
    }

    /// Checks a change, and has it written down.
    async fn change_bans(
        &self,
        change: BanChange,
        by: Principal,
        protected: impl FnOnce(&World) -> Vec<tend_core::ban::Protected> + Send + 'static,
    ) -> Result<(), ApiError> {
        let asked = change.clone();
        let checked = self.hub.ask(move |controller, now| {
            let world = controller.world();
            world.bans.check(&asked, &protected(world), now.wall)
        });
        checked.await.map_err(|refusal| refused(&refusal))?;
        self.durable(Input::Ban { change, by }).await
    }

    /// Says what was done, and that the edge does it.
    async fn told(&self, what: &str, done: &str) -> Result<Reply, ApiError> {
        let stands = if self.edge_serves().await {
            Stands::Enforced
        } else {
            let no_edge = self.hub.ask(|controller, _| has_no_edge(controller.world()));
            if no_edge.await { Stands::NoEdge } else { Stands::Behind }
        };
        let message = match stands {
            Stands::Enforced => format!("{what}; {done}"),
            Stands::NoEdge => format!("{what}; no stack is up, and the edge is told when one comes"),
            Stands::Behind => {
                return Err(ApiError::new(
                    Class::Unavailable,
                    format!("{what}, and that is written down; the edge does not have it yet"),
                )
                .hint("`tend info` says how the edge is; it takes this over as soon as it can"));
            }
        };
        Ok(Reply::json(&Accepted { message }))
    }

    /// Returns who is banned.
    pub(crate) async fn bans(&self) -> BanList {
        let refused = edge_link::stats(&self.shared).await.ok().map(|stats| stats.banned);
        let list = self.hub.ask(|controller, now| {
            let world = controller.world();
            let hops = world.bans.hops_let_in(trusted(world).into_iter());
            let bans = world.bans.at(now.wall).map(|(prefix, ban)| BanStatus {
                address: *prefix,
                since: ban.since,
                until: ban.until,
                by: ban.by.clone(),
                reason: ban.reason.clone(),
                but: hops.iter().filter(|hop| hop.overlaps(prefix)).copied().collect(),
            });
            BanList {
                bans: bans.collect(),
                enforced: edge_link::serves_all(world),
                refused: None,
            }
        });
        BanList { refused, ..list.await }
    }
}

/// Returns the trusted hops of all listeners.
pub(crate) fn trusted(world: &World) -> Vec<Prefix> {
    let stacks = (world.stacks.iter()).map(|(name, wanted)| world.stack_wanted(name).unwrap_or(&wanted.stack));
    let listeners = stacks.flat_map(|stack| &stack.edge.listeners);
    listeners
        .flat_map(|listener| listener.trusted.iter().copied())
        .collect()
}

fn has_no_edge(world: &World) -> bool {
    world.stacks.is_empty() && !world.edge.connected
}

fn is_one(change: &BanChange) -> bool {
    let (BanChange::Begin { prefixes, .. } | BanChange::End { prefixes }) = change;
    prefixes.len() == 1
}

fn until_text(until: Option<Wall>) -> String {
    until.map_or_else(
        || "for ever".to_owned(),
        |until| format!("until {}", until.to_rfc3339()),
    )
}

fn refused(refusal: &BanRefusal) -> ApiError {
    let class = if refusal.is_usage() {
        Class::Usage
    } else {
        Class::Conflict
    };
    ApiError::new(class, refusal.to_string()).hint(refusal.hint())
}
