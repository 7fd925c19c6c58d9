//! The idea without I/O: the nouns, plans of steps, the journal as values, the controller.
