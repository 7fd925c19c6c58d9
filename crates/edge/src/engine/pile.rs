//! Things that are used again: the latest given back is taken first, and what nobody needs goes to the system after a while.

/// A pile of one thread.
#[derive(Debug)]
pub(super) struct Pile<T> {
    free: Vec<T>,
    /// The fewest that were free since the last look.
    least: usize,
}

impl<T> Pile<T> {
    pub(super) const fn new() -> Self {
        Self {
            free: Vec::new(),
            least: 0,
        }
    }

    pub(super) fn take(&mut self) -> Option<T> {
        let taken = self.free.pop();
        self.least = self.least.min(self.free.len());
        taken
    }

    pub(super) fn give(&mut self, thing: T) {
        self.free.push(thing);
    }

    /// Drops what nobody used since the last look; says whether any are left.
    pub(super) fn trim(&mut self) -> bool {
        let unused = self.least.min(self.free.len());
        // Those at the bottom of the pile.
        self.free.drain(..unused);
        if self.free.capacity() > 4 * self.free.len().max(16) {
            self.free.shrink_to_fit();
        }
        self.least = self.free.len();
        !self.free.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_needs_is_given_up() {
        let mut pile = Pile::new();
        (0..10).for_each(|number| pile.give(number));
        let crowd: Vec<i32> = (0..10).filter_map(|_| pile.take()).collect();
        crowd.into_iter().for_each(|number| pile.give(number));
        assert!(pile.trim(), "all were used");
        let one = pile.take().unwrap();
        pile.give(one);
        assert!(pile.trim(), "one was used");
        assert_eq!(pile.free.len(), 1);
        assert!(!pile.trim());
    }
}
