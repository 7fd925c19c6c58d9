//! Decides when replicas start, are probed, restart and stop.
