//! Processes, cgroups, pidfds, FIFOs and sockets of one Linux host, and the shim that owns a replica.
