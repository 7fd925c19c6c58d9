//! The functions there are: names, arguments, what they give.
//!
//! Owns the table and nothing of what a function does, which is in `eval`.

use crate::ast::ValueType;
use ValueType::{Matrix, Scalar, Text, Vector};

/// A function's name and what it may be called with.
#[derive(Debug)]
pub struct Function {
    /// As it is written.
    pub name: &'static str,
    /// The type of each argument; the last is repeated when more are allowed.
    pub arguments: &'static [ValueType],
    /// The fewest arguments.
    pub arguments_min: usize,
    /// The most arguments; `usize::MAX` when there is no bound.
    pub arguments_max: usize,
    /// What it gives.
    pub returns: ValueType,
    /// Whether Prometheus calls it experimental.
    pub is_experimental: bool,
}

const fn of(name: &'static str, arguments: &'static [ValueType], returns: ValueType) -> Function {
    Function {
        name,
        arguments,
        arguments_min: arguments.len(),
        arguments_max: arguments.len(),
        returns,
        is_experimental: false,
    }
}

const fn between(
    min: usize,
    max: usize,
    name: &'static str,
    arguments: &'static [ValueType],
    returns: ValueType,
) -> Function {
    Function {
        arguments_min: min,
        arguments_max: max,
        ..of(name, arguments, returns)
    }
}

const fn experimental(function: Function) -> Function {
    Function {
        is_experimental: true,
        ..function
    }
}

/// Sorted by name.
static FUNCTIONS: &[Function] = &[
    of("abs", &[Vector], Vector),
    of("absent", &[Vector], Vector),
    of("absent_over_time", &[Matrix], Vector),
    of("acos", &[Vector], Vector),
    of("acosh", &[Vector], Vector),
    of("asin", &[Vector], Vector),
    of("asinh", &[Vector], Vector),
    of("atan", &[Vector], Vector),
    of("atanh", &[Vector], Vector),
    of("avg_over_time", &[Matrix], Vector),
    of("ceil", &[Vector], Vector),
    of("changes", &[Matrix], Vector),
    of("clamp", &[Vector, Scalar, Scalar], Vector),
    of("clamp_max", &[Vector, Scalar], Vector),
    of("clamp_min", &[Vector, Scalar], Vector),
    of("cos", &[Vector], Vector),
    of("cosh", &[Vector], Vector),
    of("count_over_time", &[Matrix], Vector),
    between(0, 1, "day_of_month", &[Vector], Vector),
    between(0, 1, "day_of_week", &[Vector], Vector),
    between(0, 1, "day_of_year", &[Vector], Vector),
    between(0, 1, "days_in_month", &[Vector], Vector),
    of("deg", &[Vector], Vector),
    of("delta", &[Matrix], Vector),
    of("deriv", &[Matrix], Vector),
    experimental(of("double_exponential_smoothing", &[Matrix, Scalar, Scalar], Vector)),
    experimental(of("end", &[], Scalar)),
    of("exp", &[Vector], Vector),
    of("first_over_time", &[Matrix], Vector),
    of("floor", &[Vector], Vector),
    of("histogram_avg", &[Vector], Vector),
    of("histogram_count", &[Vector], Vector),
    of("histogram_fraction", &[Scalar, Scalar, Vector], Vector),
    of("histogram_quantile", &[Scalar, Vector], Vector),
    experimental(between(
        3,
        12,
        "histogram_quantiles",
        &[Vector, Text, Scalar, Scalar],
        Vector,
    )),
    of("histogram_stddev", &[Vector], Vector),
    of("histogram_stdvar", &[Vector], Vector),
    of("histogram_sum", &[Vector], Vector),
    between(0, 1, "hour", &[Vector], Vector),
    of("idelta", &[Matrix], Vector),
    of("increase", &[Matrix], Vector),
    of("irate", &[Matrix], Vector),
    between(3, usize::MAX, "label_join", &[Vector, Text, Text, Text], Vector),
    of("label_replace", &[Vector, Text, Text, Text, Text], Vector),
    of("last_over_time", &[Matrix], Vector),
    of("ln", &[Vector], Vector),
    of("log10", &[Vector], Vector),
    of("log2", &[Vector], Vector),
    experimental(of("mad_over_time", &[Matrix], Vector)),
    experimental(of("max_of", &[Scalar, Scalar], Scalar)),
    of("max_over_time", &[Matrix], Vector),
    experimental(of("min_of", &[Scalar, Scalar], Scalar)),
    of("min_over_time", &[Matrix], Vector),
    between(0, 1, "minute", &[Vector], Vector),
    between(0, 1, "month", &[Vector], Vector),
    of("pi", &[], Scalar),
    of("predict_linear", &[Matrix, Scalar], Vector),
    of("present_over_time", &[Matrix], Vector),
    of("quantile_over_time", &[Scalar, Matrix], Vector),
    of("rad", &[Vector], Vector),
    experimental(of("range", &[], Scalar)),
    of("rate", &[Matrix], Vector),
    of("resets", &[Matrix], Vector),
    between(1, 2, "round", &[Vector, Scalar], Vector),
    of("scalar", &[Vector], Scalar),
    of("sgn", &[Vector], Vector),
    of("sin", &[Vector], Vector),
    of("sinh", &[Vector], Vector),
    of("sort", &[Vector], Vector),
    experimental(between(1, usize::MAX, "sort_by_label", &[Vector, Text], Vector)),
    experimental(between(1, usize::MAX, "sort_by_label_desc", &[Vector, Text], Vector)),
    of("sort_desc", &[Vector], Vector),
    of("sqrt", &[Vector], Vector),
    experimental(of("start", &[], Scalar)),
    of("stddev_over_time", &[Matrix], Vector),
    of("stdvar_over_time", &[Matrix], Vector),
    experimental(of("step", &[], Scalar)),
    of("sum_over_time", &[Matrix], Vector),
    of("tan", &[Vector], Vector),
    of("tanh", &[Vector], Vector),
    of("time", &[], Scalar),
    of("timestamp", &[Vector], Vector),
    experimental(of("ts_of_first_over_time", &[Matrix], Vector)),
    experimental(of("ts_of_last_over_time", &[Matrix], Vector)),
    experimental(of("ts_of_max_over_time", &[Matrix], Vector)),
    experimental(of("ts_of_min_over_time", &[Matrix], Vector)),
    of("vector", &[Scalar], Vector),
    between(0, 1, "year", &[Vector], Vector),
];

impl Function {
    /// Finds a function by its name.
    pub fn find(name: &str) -> Option<&'static Function> {
        let at = FUNCTIONS.binary_search_by(|function| function.name.cmp(name)).ok()?;
        FUNCTIONS.get(at)
    }

    /// All functions, sorted by name.
    pub fn all() -> &'static [Function] {
        FUNCTIONS
    }

    /// The type of the argument at a position, from 0.
    pub fn argument(&self, at: usize) -> Option<ValueType> {
        self.arguments.get(at).or(self.arguments.last()).copied()
    }

    /// Whether its value depends on the time of evaluation whatever its arguments are.
    pub fn depends_on_time(&self) -> bool {
        matches!(
            self.name,
            "days_in_month"
                | "day_of_month"
                | "day_of_week"
                | "day_of_year"
                | "end"
                | "hour"
                | "minute"
                | "month"
                | "year"
                | "predict_linear"
                | "range"
                | "start"
                | "step"
                | "time"
                | "timestamp"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_is_found_by_its_name() {
        assert!(FUNCTIONS.is_sorted_by(|one, two| one.name < two.name));
        for function in Function::all() {
            assert!(std::ptr::eq(Function::find(function.name).unwrap(), function));
        }
        assert!(Function::find("nothing").is_none());
    }
}
