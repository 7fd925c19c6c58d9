//! What one stack sees of the store: its own series and those of the machine; or, where the stack names another server, what is there and what
//! its rules make here. Knows nothing of queries.
//!
//! Invariant: no text of a rule or of a query shows another stack's series (test `a_stack_sees_its_own_series_and_those_of_the_machine`).

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::{Arc, PoisonError, RwLock};

use tend_metrics::MetricStore;
use tend_promql::{
    Labels, METRIC_NAME, MatchOp, Matcher, Samples, Selection, Store, StoreError, Timestamp, Value, Whole,
};

use crate::remote::Remote;

/// The label that says whose a series is; a series of the machine has none.
pub(crate) const STACK: &str = "stack";

/// The store as one stack sees it.
#[derive(Clone, Debug)]
pub(crate) struct View {
    store: Arc<MetricStore>,
    /// `stack=~"NAME|"`: a label that is missing is an empty one.
    own: Matcher,
    /// Who is asked in the place of the store. It is the stack's own, so all of it is seen.
    remote: Arc<RwLock<Option<Arc<Remote>>>>,
}

impl View {
    pub(crate) fn new(store: Arc<MetricStore>, stack: &str) -> Self {
        // Names of stacks have no letter that means something in a pattern but `.`, which is not allowed in them either.
        let own = Matcher::new(STACK, MatchOp::Regex, &format!("{stack}|"))
            .expect("invariant: the name of a stack is a plain pattern");
        Self {
            store,
            own,
            remote: Arc::default(),
        }
    }

    /// Returns matchers with ours beside them.
    pub(crate) fn narrowed(&self, matchers: &[Matcher]) -> Vec<Matcher> {
        let mut narrowed = Vec::with_capacity(matchers.len() + 1);
        narrowed.extend_from_slice(matchers);
        narrowed.push(self.own.clone());
        narrowed
    }

    pub(crate) fn store(&self) -> &MetricStore {
        &self.store
    }

    /// Has another server asked from now on, or the store again.
    pub(crate) fn set_remote(&self, remote: Option<Arc<Remote>>) {
        *self.remote.write().unwrap_or_else(PoisonError::into_inner) = remote;
    }

    /// The other server, where what matchers choose is there.
    fn elsewhere(&self, matchers: &[Matcher]) -> Option<Arc<Remote>> {
        let remote = self.remote.read().unwrap_or_else(PoisonError::into_inner).clone()?;
        let name = (matchers.iter()).find(|matcher| matcher.name() == METRIC_NAME && matcher.op() == MatchOp::Equal);
        (!name.is_some_and(|name| remote.is_made(name.value()))).then_some(remote)
    }

    /// The values of a label of such series as [`View::series`] hands out; without making their label sets.
    pub(crate) fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: (Timestamp, Timestamp),
    ) -> Result<BTreeSet<String>, StoreError> {
        let Some(remote) = self.elsewhere(matchers) else {
            let matchers = self.narrowed(matchers);
            return (self.store.label_values(name, &matchers, range)).map_err(StoreError::new);
        };
        remote.listed(&format!("label/{name}/values"), matchers, range)
    }

    /// The names of their labels.
    pub(crate) fn label_names(
        &self,
        matchers: &[Matcher],
        range: (Timestamp, Timestamp),
    ) -> Result<BTreeSet<String>, StoreError> {
        let Some(remote) = self.elsewhere(matchers) else {
            return (self.store.label_names(&self.narrowed(matchers), range)).map_err(StoreError::new);
        };
        remote.listed("labels", matchers, range)
    }

    /// Hands out the labels of series that may have samples in a time.
    pub(crate) fn series(
        &self,
        matchers: &[Matcher],
        range: (Timestamp, Timestamp),
        each: &mut dyn FnMut(&Labels),
    ) -> Result<(), StoreError> {
        match self.elsewhere(matchers) {
            Some(remote) => remote.series(matchers, range, each),
            None => (self.store.series(&self.narrowed(matchers), range, each)).map_err(StoreError::new),
        }
    }
}

impl Store for View {
    fn select(
        &self,
        selection: &Selection<'_>,
        each: &mut dyn FnMut(&Labels, Samples<'_>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        if let Some(remote) = self.elsewhere(selection.matchers) {
            return remote.select(selection, each);
        }
        let matchers = self.narrowed(selection.matchers);
        let hints = selection.hints;
        let selection =
            Selection::new(&matchers, selection.from, selection.to).with_hints(hints.function, hints.step, hints.range);
        self.store.select(&selection, each)
    }

    fn answer(&self, whole: &Whole<'_>) -> Option<Result<Value, StoreError>> {
        let remote = self.remote.read().unwrap_or_else(PoisonError::into_inner).clone();
        remote?.answer(whole)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::ops::ControlFlow;
    use std::sync::Arc;

    use tend_metrics::{MetricStore, Options};
    use tend_promql::{Labels, Matcher, Selection, Store};
    use tend_testkit::Folder;

    use super::View;

    #[test]
    fn a_stack_sees_its_own_series_and_those_of_the_machine() {
        let folder = Folder::new();
        let (store, _) = MetricStore::open(folder.path(), Options::default()).unwrap();
        let store = Arc::new(store);
        for stack in ["shop", "bank", ""] {
            let mut feed = store.feed(&Labels::from_pairs([("stack", stack), ("job", "x")]), false);
            store.add_named(&mut feed, "up", 1.0).unwrap();
            store.commit(&mut feed, 1_000);
        }
        let mut seen = BTreeSet::new();
        let up = [Matcher::equal("__name__", "up")];
        View::new(Arc::clone(&store), "shop")
            .select(&Selection::new(&up, 0, 2_000), &mut |labels, _| {
                seen.insert(labels.get("stack").to_owned());
                ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(seen, BTreeSet::from([String::new(), "shop".to_owned()]));
    }
}
