//! The data plane: accepts connections and forwards requests to replicas.
