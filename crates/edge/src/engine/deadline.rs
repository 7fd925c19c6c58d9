//! Deadlines of a thread's connections: a cell for each, looked over about once a second, instead of a timer for each request.
//!
//! A deadline is never met early, and late by two looks at most. What has to be exact, such as connecting, uses a timer of its own.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::task::{Context, Waker};
use std::time::Duration;

use tend_base::{Mono, SystemClock};

use crate::limits::Patience;

/// How often the cells are looked over, where nobody's patience is shorter.
const LOOK_EVERY_MAX: Duration = Duration::from_secs(1);

/// How often they are looked over at most.
const LOOK_EVERY_MIN: Duration = Duration::from_millis(20);

/// So many deadlines wait to be lent again.
const SPARE_MAX: usize = 256;
/// No clock gets there.
const FOREVER: Mono = Mono(u64::MAX);

/// The deadlines of one thread.
#[derive(Debug)]
pub(crate) struct Deadlines {
    cells: RefCell<Vec<Weak<Cells>>>,
    /// Of those who have no connection to keep one for, to be lent again.
    spare: RefCell<Vec<Deadline>>,
    /// When it was last looked.
    looked: Cell<Mono>,
    every: Duration,
}

#[derive(Debug)]
struct Cells {
    at: Cell<Option<Mono>>,
    /// Whatever is waited for, it is not for longer than this; [`FOREVER`] without a bound.
    until: Cell<Mono>,
    is_idle: Cell<bool>,
    has_passed: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

/// The deadline of one connection.
#[derive(Debug)]
pub(super) struct Deadline {
    cells: Rc<Cells>,
}

impl Deadlines {
    pub(crate) fn new(patience: &Patience) -> Self {
        Self {
            cells: RefCell::default(),
            spare: RefCell::default(),
            looked: Cell::new(SystemClock.mono()),
            every: patience.shortest().clamp(LOOK_EVERY_MIN, LOOK_EVERY_MAX),
        }
    }

    /// Returns how long to wait between two looks.
    pub(super) fn every(&self) -> Duration {
        self.every
    }

    /// Returns a deadline that is not set.
    pub(super) fn add(&self) -> Deadline {
        let cells = Rc::new(Cells {
            at: Cell::new(None),
            until: Cell::new(FOREVER),
            is_idle: Cell::new(false),
            has_passed: Cell::new(false),
            waker: RefCell::new(None),
        });
        self.cells.borrow_mut().push(Rc::downgrade(&cells));
        Deadline { cells }
    }

    /// Returns a deadline that is not set, for a short while: to be given back.
    pub(super) fn lend(&self) -> Deadline {
        let spare = self.spare.borrow_mut().pop();
        spare.unwrap_or_else(|| self.add())
    }

    /// Takes a deadline back.
    pub(super) fn give(&self, deadline: Deadline) {
        deadline.clear();
        // A waker keeps its task's memory.
        deadline.cells.waker.take();
        let mut spare = self.spare.borrow_mut();
        if spare.len() < SPARE_MAX {
            spare.push(deadline);
        }
    }

    /// Notes the time, for the deadlines that are set from now on.
    pub(super) fn note(&self, now: Mono) {
        self.looked.set(now);
    }

    /// Returns a moment that is not in the future and at most one look in the past; costs no system call.
    pub(super) fn looked(&self) -> Mono {
        self.looked.get()
    }

    /// Wakes whose deadline has passed; says whether there are any left.
    pub(super) fn look(&self, now: Mono) -> bool {
        self.note(now);
        let mut cells = self.cells.borrow_mut();
        cells.retain(|cells| {
            let Some(cells) = cells.upgrade() else {
                return false;
            };
            if cells.at.get().is_some_and(|at| now >= at) {
                cells.has_passed.set(true);
                cells.at.set(None);
                // Waking only puts the task on the thread's queue; nothing of it runs here.
                if let Some(waker) = cells.waker.borrow().as_ref() {
                    waker.wake_by_ref();
                }
            }
            true
        });
        // Those that wait to be lent are given up a few at a time, so that a thread without connections comes to rest.
        let mut spare = self.spare.borrow_mut();
        let kept = spare.len() / 2;
        spare.truncate(kept);
        // A crowd that has left leaves no room behind.
        if cells.capacity() > 4 * cells.len().max(64) {
            cells.shrink_to_fit();
        }
        !cells.is_empty()
    }

    /// Gives connections that wait for a request no more than this from now on.
    pub(crate) fn hasten(&self, wait: Duration) {
        let latest = SystemClock.mono() + wait;
        for cells in self.cells.borrow().iter().filter_map(Weak::upgrade) {
            if cells.is_idle.get() {
                cells.at.set(cells.at.get().map(|at| at.min(latest)));
            }
        }
    }

    fn after(&self, wait: Duration) -> Mono {
        self.looked.get() + self.every + wait
    }
}

impl Deadline {
    /// Sets it so long from now.
    pub(super) fn set(&self, deadlines: &Deadlines, wait: Duration) {
        self.put(Some(deadlines.after(wait)), false);
    }

    /// Sets it so long from now, and no later than a moment that was reckoned from what [`Deadlines::looked`] said.
    pub(super) fn set_until(&self, deadlines: &Deadlines, wait: Duration, until: Option<Mono>) {
        let at = deadlines.after(wait);
        self.put(Some(until.map_or(at, |until| at.min(until + deadlines.every))), false);
    }

    /// Sets it for waiting for a request, which [`Deadlines::hasten`] shortens.
    pub(super) fn set_idle(&self, deadlines: &Deadlines, wait: Duration) {
        self.put(Some(deadlines.after(wait)), true);
    }

    /// Takes it back; a bound stays.
    pub(super) fn clear(&self) {
        self.put(None, false);
    }

    /// Bounds all that is waited for from now on by a moment; none takes a bound back.
    pub(super) fn bind(&self, until: Option<Mono>) {
        self.cells.until.set(until.unwrap_or(FOREVER));
        self.clear();
    }

    /// Says whether the moment it was bound by has come.
    pub(super) fn is_overdue(&self, deadlines: &Deadlines) -> bool {
        deadlines.looked() >= self.cells.until.get()
    }

    /// Says whether there is anything to ask [`Self::has_passed`] for.
    pub(super) fn is_set(&self) -> bool {
        self.cells.at.get().is_some() || self.cells.has_passed.get()
    }

    fn put(&self, at: Option<Mono>, is_idle: bool) {
        let until = self.cells.until.get();
        let at = at.map_or(until, |at| at.min(until));
        let at = (at != FOREVER).then_some(at);
        self.cells.at.set(at);
        self.cells.is_idle.set(is_idle);
        self.cells.has_passed.set(false);
    }

    /// Says whether it has passed; if not, whoever asks is woken when it does.
    pub(super) fn has_passed(&self, cx: &Context<'_>) -> bool {
        if self.cells.has_passed.get() {
            return true;
        }
        let mut waker = self.cells.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deadlines() -> Deadlines {
        let deadlines = Deadlines::new(&Patience::default());
        deadlines.note(Mono(0));
        deadlines
    }

    #[test]
    fn a_deadline_is_never_early_and_at_most_two_looks_late() {
        let deadlines = deadlines();
        let deadline = deadlines.add();
        let cx = Context::from_waker(Waker::noop());
        deadline.set(&deadlines, Duration::from_secs(10));
        for second in 1..=10 {
            deadlines.look(Mono(0) + Duration::from_secs(second));
            assert!(!deadline.has_passed(&cx), "{second}");
        }
        deadlines.look(Mono(0) + Duration::from_secs(12));
        assert!(deadline.has_passed(&cx));
        deadline.set(&deadlines, Duration::from_secs(10));
        assert!(!deadline.has_passed(&cx), "set anew");
        deadline.clear();
        deadlines.look(Mono(0) + Duration::from_secs(100));
        assert!(!deadline.has_passed(&cx), "taken back");
    }

    #[test]
    fn draining_shortens_only_the_wait_for_a_request() {
        let deadlines = deadlines();
        let (idle, busy) = (deadlines.add(), deadlines.add());
        let cx = Context::from_waker(Waker::noop());
        let now = SystemClock.mono();
        deadlines.note(now);
        idle.set_idle(&deadlines, Duration::from_secs(600));
        busy.set(&deadlines, Duration::from_secs(600));
        deadlines.hasten(Duration::from_secs(2));
        deadlines.look(now + Duration::from_secs(300));
        assert!(idle.has_passed(&cx) && !busy.has_passed(&cx));
    }

    #[test]
    fn a_deadline_is_lent_again_unset_and_given_up_in_the_end() {
        let deadlines = deadlines();
        let cx = Context::from_waker(Waker::noop());
        let first = deadlines.lend();
        first.set(&deadlines, Duration::from_secs(1));
        assert!(!first.has_passed(&cx));
        deadlines.give(first);
        let again = deadlines.lend();
        assert_eq!(deadlines.cells.borrow().len(), 1);
        deadlines.look(Mono(0) + Duration::from_secs(100));
        assert!(!again.has_passed(&cx));
        deadlines.give(again);
        while deadlines.look(Mono(0) + Duration::from_secs(200)) {}
    }

    #[test]
    fn a_bound_holds_over_whatever_is_waited_for() {
        let deadlines = deadlines();
        let deadline = deadlines.add();
        let cx = Context::from_waker(Waker::noop());
        deadline.bind(Some(Mono(0) + Duration::from_secs(5)));
        for second in 1..5 {
            // Something moves every second.
            deadline.set(&deadlines, Duration::from_secs(3));
            deadlines.look(Mono(0) + Duration::from_secs(second));
            assert!(
                !deadline.has_passed(&cx) && !deadline.is_overdue(&deadlines),
                "{second}"
            );
        }
        deadline.clear();
        assert!(deadline.is_set());
        deadlines.look(Mono(0) + Duration::from_secs(5));
        assert!(deadline.has_passed(&cx) && deadline.is_overdue(&deadlines));
        deadline.bind(None);
        assert!(!deadline.is_set() && !deadline.has_passed(&cx));
        deadlines.look(Mono(0) + Duration::from_secs(100));
        assert!(!deadline.has_passed(&cx) && !deadline.is_overdue(&deadlines));
    }

    #[test]
    fn what_has_ended_is_forgotten() {
        let deadlines = deadlines();
        let deadline = deadlines.add();
        assert!(deadlines.look(Mono(1)));
        drop(deadline);
        assert!(!deadlines.look(Mono(2)));
    }
}
