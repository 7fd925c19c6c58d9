//! The queries behind the figures.
//!
//! They name what the guides' services and the exporters expose, and so our collectors. Where several series come out, one for each service or
//! machine, the worst counts. A part that may be missing (no 5xx yet) is 0 as long as the whole is there.

use tend_core::model::Figure;

/// Returns the query of a figure for which a stack names none.
#[must_use]
pub fn default_query(figure: Figure) -> &'static str {
    match figure {
        Figure::ResponseTime => {
            "sum by (stack, service, job) (rate(http_request_duration_seconds_sum[5m])) \
             / sum by (stack, service, job) (rate(http_request_duration_seconds_count[5m]))"
        }
        // The names of the guides 003, 004 and 000.
        Figure::SuccessRate => {
            "(sum(rate(payment_transactions_total{status=\"completed\"}[5m])) or 0 * sum(rate(payment_transactions_total[5m]))) \
             / sum(rate(payment_transactions_total[5m])) \
             or sum(rate(payment_success_total[5m])) / sum(rate(payment_total[5m])) \
             or 1 - sum(rate(payment_failures_total[5m])) / sum(rate(payment_attempts_total[5m]))"
        }
        Figure::DatabaseP95 => {
            "histogram_quantile(0.95, sum by (stack, service, le) (rate(db_query_duration_seconds_bucket[5m])))"
        }
        Figure::Memory => "max by (stack, service, replica, instance) (process_resident_memory_bytes)",
        Figure::Cpu => "1 - avg by (instance) (rate(node_cpu_seconds_total{mode=\"idle\"}[5m]))",
        Figure::Websockets => "sum(tend_edge_upgraded_connections)",
        Figure::CacheHits => {
            "sum by (instance) (rate(redis_keyspace_hits_total[5m])) \
             / (sum by (instance) (rate(redis_keyspace_hits_total[5m])) + sum by (instance) (rate(redis_keyspace_misses_total[5m])))"
        }
        Figure::Errors => {
            "(sum by (stack, service, job) (rate(http_requests_total{status=~\"5..\"}[5m])) \
             or 0 * sum by (stack, service, job) (rate(http_requests_total[5m]))) \
             / sum by (stack, service, job) (rate(http_requests_total[5m]))"
        }
    }
}
