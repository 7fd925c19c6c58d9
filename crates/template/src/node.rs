//! A template as a tree. Knows no text and no values.

use crate::error::Place;
use crate::functions::Function;
use crate::parse::Number;

/// One thing of a template's body, in order.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    Text(String),
    Action(Pipe),
    If(Branch),
    With(Branch),
    Range(Branch),
    Template {
        at: Place,
        name: String,
        pipe: Option<Pipe>,
    },
    Break,
    Continue,
}

/// A condition and its two ways.
#[derive(Clone, Debug)]
pub(crate) struct Branch {
    pub(crate) pipe: Pipe,
    pub(crate) body: Vec<Node>,
    pub(crate) otherwise: Vec<Node>,
}

/// Commands, each given the value of the one before; and the variables that take the last value.
#[derive(Clone, Debug)]
pub(crate) struct Pipe {
    pub(crate) at: Place,
    pub(crate) variables: Vec<String>,
    /// `=` and not `:=`.
    pub(crate) assign: bool,
    pub(crate) commands: Vec<Vec<Expr>>,
}

/// A word of a command.
#[derive(Clone, Debug)]
pub(crate) struct Expr {
    pub(crate) at: Place,
    /// As it was written, for messages.
    pub(crate) text: String,
    pub(crate) kind: ExprKind,
}

#[derive(Clone, Debug)]
pub(crate) enum ExprKind {
    Bool(bool),
    Dot,
    Nil,
    Number(Number),
    Text(String),
    /// `.A.B`
    Field(Vec<String>),
    /// `$x.A.B`
    Variable(String, Vec<String>),
    /// `(…).A.B`
    Chain(Box<Expr>, Vec<String>),
    Call(&'static Function),
    Pipe(Box<Pipe>),
}
