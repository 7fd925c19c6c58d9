//! How inputs and steps read in a trace.

use tend_core::controller::Input;
use tend_core::plan::Step;

fn outcome<T: std::fmt::Debug, E: std::fmt::Debug>(result: &Result<T, E>) -> String {
    match result {
        Ok(value) => format!("ok {value:?}"),
        Err(why) => format!("failed: {why:?}"),
    }
}

/// Returns an input as a line of a trace.
pub(crate) fn input(input: &Input) -> String {
    match input {
        Input::Apply { stack, .. } => format!("apply {}", stack.name),
        Input::Remove { stack, .. } => format!("remove {stack}"),
        Input::Scale { service, replicas, .. } => format!("scale {service} to {replicas}"),
        Input::Restart { service, slot, .. } => format!("restart {service} {slot:?}"),
        Input::Stop { service, stopped, .. } => format!("stop {service}: {stopped}"),
        Input::Deploy(wish) => format!("{:?} of release {} of {}", wish.purpose, wish.target, wish.stack),
        Input::Decide { stack, word, .. } => format!("{word:?} of {stack}"),
        Input::Acted { stack, act, result, .. } => format!("{act} of {stack}: {}", outcome(result)),
        Input::Prepared { service, result, .. } => format!("prepared {service}: {}", outcome(result)),
        Input::Started {
            replica,
            incarnation,
            result,
        } => {
            format!("started {replica} ({incarnation}): {}", outcome(result))
        }
        Input::Probed {
            replica,
            incarnation,
            kind,
            result,
        } => {
            format!("{} of {replica} ({incarnation}): {}", kind.text(), outcome(result))
        }
        Input::Quiesced {
            replica,
            incarnation,
            result,
            ..
        } => {
            format!("in flight of {replica} ({incarnation}): {}", outcome(result))
        }
        Input::Signalled {
            replica,
            incarnation,
            result,
        } => {
            format!("signalled {replica} ({incarnation}): {}", outcome(result))
        }
        Input::Killed {
            replica,
            incarnation,
            result,
        } => {
            format!("killed {replica} ({incarnation}): {}", outcome(result))
        }
        Input::ShimReplaced {
            replica,
            incarnation,
            result,
        } => {
            format!("shim of {replica} ({incarnation}) replaced: {}", outcome(result))
        }
        Input::Adopted {
            replica, incarnation, ..
        } => format!("found {replica} ({incarnation})"),
        Input::Exited {
            replica,
            incarnation,
            exit,
            ..
        } => format!("{replica} ({incarnation}) {exit}"),
        other => format!("{other:?}"),
    }
}

/// Returns the incarnation a step is about, in brackets.
pub(crate) fn incarnation(step: &Step) -> String {
    match step {
        Step::Start { incarnation, .. }
        | Step::Quiesce { incarnation, .. }
        | Step::Signal { incarnation, .. }
        | Step::Kill { incarnation, .. }
        | Step::ReplaceShim { incarnation, .. } => format!(" ({incarnation})"),
        Step::Publish { generation, endpoints } => {
            let all = endpoints.values().flatten();
            let all = all.map(|endpoint| format!("{}{}", endpoint.replica, if endpoint.draining { "~" } else { "" }));
            format!(" ({generation}: {})", all.collect::<Vec<_>>().join(" "))
        }
        _ => String::new(),
    }
}
