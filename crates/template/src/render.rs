//! Walks a template's tree over data and writes what comes of it.
//!
//! Invariant: it ends within the steps, the depth and the bytes that were given, whatever the template (test `bounds`).

use crate::error::{Place, TemplateError};
use crate::format::display;
use crate::functions::{Call, Function, Run, Trouble};
use crate::html::Html;
use crate::node::{Branch, Expr, ExprKind, Node, Pipe};
use crate::set::{Escape, Limits, Templates};
use crate::value::{Member, Value, member};
use crate::world::World;

/// Renders one template of a set.
pub(crate) fn render(
    set: &Templates,
    name: &str,
    data: &Value,
    variables: &[(&str, Value)],
    world: &mut dyn World,
    escape: Escape,
    limits: Limits,
) -> Result<String, TemplateError> {
    let body = set.body(name).ok_or_else(|| TemplateError::Missing {
        template: name.to_owned(),
    })?;
    let mut state = State {
        set,
        world,
        limits,
        steps: 0,
        depth: 0,
        made: 0,
        out: Out {
            text: String::new(),
            html: (escape == Escape::Html).then(Html::default),
        },
        template: name.to_owned(),
        at: Place { line: 1, column: 1 },
        variables: std::iter::once(("$".to_owned(), data.clone()))
            .chain(
                variables
                    .iter()
                    .map(|(name, value)| (format!("${name}"), value.clone())),
            )
            .collect(),
    };
    match state.list(data, &body) {
        Ok(_) => Ok(state.out.text),
        Err(Stop::Says(what)) => Err(TemplateError::Render {
            template: state.template,
            place: state.at,
            what,
        }),
        Err(Stop::Bound(bound)) => Err(TemplateError::Bound {
            template: state.template,
            place: state.at,
            bound,
        }),
    }
}

/// Why rendering ended early.
enum Stop {
    Says(String),
    Bound(String),
}

/// Whether a loop goes on after a node.
enum Flow {
    On,
    Break,
    Continue,
}

/// What was written so far.
struct Out {
    text: String,
    html: Option<Html>,
}

struct State<'a> {
    set: &'a Templates,
    world: &'a mut dyn World,
    limits: Limits,
    steps: u64,
    depth: usize,
    /// Bytes of the texts that functions made.
    made: usize,
    out: Out,
    /// Which template is being rendered, and where it is: for messages.
    template: String,
    at: Place,
    variables: Vec<(String, Value)>,
}

type Outcome<T> = Result<T, Stop>;

fn says<T>(text: impl Into<String>) -> Outcome<T> {
    Err(Stop::Says(text.into()))
}

impl State<'_> {
    fn step(&mut self) -> Outcome<()> {
        self.steps += 1;
        if self.steps > self.limits.steps {
            return Err(Stop::Bound(format!("takes more than {} steps", self.limits.steps)));
        }
        Ok(())
    }

    fn too_long(&self) -> Stop {
        Stop::Bound(format!("makes more than {} bytes of text", self.limits.bytes))
    }

    fn write(&mut self, text: &str, value: Option<&Value>) -> Outcome<()> {
        let escaped;
        let shown = match (&mut self.out.html, value) {
            (None, _) => text,
            (Some(html), None) => {
                html.literal(text);
                text
            }
            (Some(html), Some(value)) => {
                escaped = html.escape(value, text);
                &escaped
            }
        };
        if self.out.text.len() + shown.len() > self.limits.bytes {
            return Err(self.too_long());
        }
        self.out.text.push_str(shown);
        Ok(())
    }

    fn list(&mut self, dot: &Value, nodes: &[Node]) -> Outcome<Flow> {
        for node in nodes {
            match self.node(dot, node)? {
                Flow::On => {}
                other => return Ok(other),
            }
        }
        Ok(Flow::On)
    }

    fn node(&mut self, dot: &Value, node: &Node) -> Outcome<Flow> {
        self.step()?;
        match node {
            Node::Text(text) => self.write(text, None)?,
            Node::Action(pipe) => {
                let value = self.pipe(dot, pipe)?;
                if pipe.variables.is_empty() {
                    let text = if value == Value::Nil {
                        "<no value>".to_owned()
                    } else {
                        display(&value)
                    };
                    self.write(&text, Some(&value))?;
                }
            }
            Node::If(branch) => return self.branch(dot, branch, false),
            Node::With(branch) => return self.branch(dot, branch, true),
            Node::Range(branch) => return self.range(dot, branch),
            Node::Template { at, name, pipe } => {
                self.at = *at;
                let data = match pipe {
                    Some(pipe) => self.pipe(dot, pipe)?,
                    None => Value::Nil,
                };
                self.at = *at;
                self.template(name, &data)?;
            }
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    fn branch(&mut self, dot: &Value, branch: &Branch, with: bool) -> Outcome<Flow> {
        let known = self.variables.len();
        let value = self.pipe(dot, &branch.pipe)?;
        let flow = match (value.is_true(), with) {
            (true, true) => self.list(&value, &branch.body),
            (true, false) => self.list(dot, &branch.body),
            (false, _) => self.list(dot, &branch.otherwise),
        }?;
        self.variables.truncate(known);
        Ok(flow)
    }

    fn range(&mut self, dot: &Value, branch: &Branch) -> Outcome<Flow> {
        let known = self.variables.len();
        let value = self.pipe(dot, &branch.pipe)?;
        let mut rounds = 0u64;
        let mut one = |state: &mut Self, index: Value, item: &Value| -> Outcome<bool> {
            rounds += 1;
            state.step()?;
            state.loop_variables(&branch.pipe, known, index, item);
            let mark = state.variables.len();
            let flow = state.list(item, &branch.body)?;
            state.variables.truncate(mark);
            Ok(!matches!(flow, Flow::Break))
        };
        let place = |at: usize| Value::Int(i64::try_from(at).unwrap_or(i64::MAX));
        match &value {
            Value::List(list) => {
                for (at, item) in list.items.iter().enumerate() {
                    if !one(self, place(at), item)? {
                        break;
                    }
                }
            }
            Value::Map(map) => {
                for (name, item) in &map.entries {
                    if !one(self, name.as_str().into(), item)? {
                        break;
                    }
                }
            }
            // So does Go since 1.22.
            Value::Int(count) => {
                for number in 0..*count {
                    if !one(self, Value::Int(number), &Value::Int(number))? {
                        break;
                    }
                }
            }
            Value::Nil => {}
            other => return says(format!("`range` cannot walk over a {}", other.type_name())),
        }
        let flow = if rounds == 0 {
            self.list(dot, &branch.otherwise)?
        } else {
            Flow::On
        };
        self.variables.truncate(known);
        Ok(flow)
    }

    /// Gives the variables of a range their values for one round.
    fn loop_variables(&mut self, pipe: &Pipe, known: usize, index: Value, item: &Value) {
        let values = match pipe.variables.len() {
            1 => vec![item.clone()],
            2 => vec![index, item.clone()],
            _ => return,
        };
        for (offset, (name, value)) in pipe.variables.iter().zip(values).enumerate() {
            if pipe.assign {
                self.assign(name, value);
            } else if let Some(variable) = self.variables.get_mut(known + offset) {
                variable.1 = value;
            }
        }
    }

    fn assign(&mut self, name: &str, value: Value) {
        if let Some(variable) = self.variables.iter_mut().rev().find(|(known, _)| known == name) {
            variable.1 = value;
        }
    }

    /// Renders a template that was called by its name. It sees its data and no variable of who calls it.
    fn template(&mut self, name: &str, data: &Value) -> Outcome<()> {
        let Some(body) = self.set.body(name) else {
            return says(format!("there is no template `{name}`"));
        };
        if self.depth >= self.limits.depth {
            return Err(Stop::Bound(format!(
                "calls templates more than {} deep",
                self.limits.depth
            )));
        }
        self.depth += 1;
        let variables = std::mem::replace(&mut self.variables, vec![("$".to_owned(), data.clone())]);
        let caller = std::mem::replace(&mut self.template, name.to_owned());
        // On an error the name of the template that has it stays, for the message.
        self.list(data, &body)?;
        self.template = caller;
        self.variables = variables;
        self.depth -= 1;
        Ok(())
    }

    fn pipe(&mut self, dot: &Value, pipe: &Pipe) -> Outcome<Value> {
        self.at = pipe.at;
        let mut last: Option<Value> = None;
        for command in &pipe.commands {
            last = Some(self.command(dot, command, last.take())?);
        }
        let value = last.unwrap_or(Value::Nil);
        for name in &pipe.variables {
            if pipe.assign {
                self.assign(name, value.clone());
            } else {
                self.variables.push((name.clone(), value.clone()));
            }
        }
        Ok(value)
    }

    fn command(&mut self, dot: &Value, words: &[Expr], last: Option<Value>) -> Outcome<Value> {
        self.step()?;
        let Some((first, args)) = words.split_first() else {
            return says("a command is missing");
        };
        self.at = first.at;
        match &first.kind {
            ExprKind::Field(names) => self.chain(dot, dot.clone(), first, names, args, last),
            ExprKind::Variable(name, names) if !names.is_empty() => {
                let value = self.variable(name);
                self.chain(dot, value, first, names, args, last)
            }
            ExprKind::Chain(inner, names) => {
                let value = self.expr(dot, inner)?;
                self.chain(dot, value, first, names, args, last)
            }
            ExprKind::Call(function) => self.call(dot, function, args, last),
            _ if !args.is_empty() || last.is_some() => {
                says(format!("`{}` is not a function and takes no arguments", first.text))
            }
            ExprKind::Nil => says("`nil` alone is no command"),
            _ => self.expr(dot, first),
        }
    }

    /// The value of a word that stands as an argument.
    fn expr(&mut self, dot: &Value, expr: &Expr) -> Outcome<Value> {
        self.step()?;
        self.at = expr.at;
        Ok(match &expr.kind {
            ExprKind::Bool(value) => Value::Bool(*value),
            ExprKind::Dot => dot.clone(),
            ExprKind::Nil => Value::Nil,
            ExprKind::Number(number) => match (number.is_float, number.int, number.float) {
                (false, Some(value), _) => Value::Int(value),
                (_, _, Some(value)) => Value::Float(value),
                _ => Value::Nil,
            },
            ExprKind::Text(text) => Value::from(text.as_str()),
            ExprKind::Field(names) => self.chain(dot, dot.clone(), expr, names, &[], None)?,
            ExprKind::Variable(name, names) => {
                let value = self.variable(name);
                if names.is_empty() {
                    value
                } else {
                    self.chain(dot, value, expr, names, &[], None)?
                }
            }
            ExprKind::Chain(inner, names) => {
                let value = self.expr(dot, inner)?;
                self.chain(dot, value, expr, names, &[], None)?
            }
            ExprKind::Call(function) => self.call(dot, function, &[], None)?,
            ExprKind::Pipe(pipe) => self.pipe(dot, pipe)?,
        })
    }

    fn variable(&self, name: &str) -> Value {
        let found = self.variables.iter().rev().find(|(known, _)| known == name);
        found.map_or(Value::Nil, |(_, value)| value.clone())
    }

    /// `.A.B.C`, of which the last may be a method with arguments.
    fn chain(
        &mut self,
        dot: &Value,
        mut value: Value,
        expr: &Expr,
        names: &[String],
        args: &[Expr],
        last: Option<Value>,
    ) -> Outcome<Value> {
        let mut last = last;
        for (index, name) in names.iter().enumerate() {
            let is_last = index + 1 == names.len();
            let (args, given) = if is_last { (args, last.take()) } else { (&[][..], None) };
            // A field of no value is no value.
            if value == Value::Nil {
                return Ok(Value::Nil);
            }
            let has_args = !args.is_empty() || given.is_some();
            value = match member(&value, name) {
                Member::Method(params, method) => {
                    if params.len() != args.len() + usize::from(given.is_some()) {
                        return says(format!(
                            "the method {name} takes {}, not {}",
                            counted(params.len()),
                            args.len() + usize::from(given.is_some())
                        ));
                    }
                    let mut values = Vec::with_capacity(params.len());
                    for arg in args {
                        values.push(self.expr(dot, arg)?);
                    }
                    values.extend(given);
                    self.at = expr.at;
                    let accepted = values.into_iter().zip(params).map(|(value, param)| param.accept(value));
                    let accepted = accepted.collect::<Result<Vec<_>, _>>().map_err(Stop::Says)?;
                    let result = method(&value, &accepted).map_err(Stop::Says)?;
                    self.count(result)?
                }
                Member::Value(_) | Member::Absent if has_args => {
                    return says(format!("{name} is not a method and takes no arguments"));
                }
                Member::Value(found) => found,
                Member::Absent if is_last => Value::Nil,
                Member::Absent => return says(format!("there is no `{name}`, and so no field of it")),
                Member::None => return says(format!("there is no field `{name}` in a {}", value.type_name())),
            };
        }
        Ok(value)
    }

    fn call(&mut self, dot: &Value, function: &Function, args: &[Expr], last: Option<Value>) -> Outcome<Value> {
        let at = self.at;
        let given = args.len() + usize::from(last.is_some());
        let least = function.params.len();
        if given < least || (function.rest.is_none() && given > least) {
            let more = if function.rest.is_some() { "at least " } else { "" };
            return says(format!("{} takes {more}{}, not {given}", function.name, counted(least)));
        }
        if let Run::And | Run::Or = function.run {
            let wanted = matches!(function.run, Run::Or);
            let mut value = Value::Nil;
            for arg in args {
                value = self.expr(dot, arg)?;
                if value.is_true() == wanted {
                    return Ok(value);
                }
            }
            return Ok(last.unwrap_or(value));
        }
        let mut values = Vec::with_capacity(given);
        for arg in args {
            values.push(self.expr(dot, arg)?);
        }
        values.extend(last);
        self.at = at;
        let mut accepted = Vec::with_capacity(given);
        for (index, value) in values.into_iter().enumerate() {
            let param = function.params.get(index).copied().or(function.rest);
            match param.map(|param| param.accept(value)) {
                Some(Ok(value)) => accepted.push(value),
                Some(Err(what)) => return says(format!("{}: argument {}: {what}", function.name, index + 1)),
                None => {}
            }
        }
        let result = match function.run {
            Run::Tmpl => return self.tmpl(&accepted),
            Run::And | Run::Or => Ok(Value::Nil),
            Run::Value(run) => {
                let mut call = Call {
                    limit: self.limits.bytes.saturating_sub(self.made),
                    html: self.out.html.is_some(),
                    world: &mut *self.world,
                };
                run(&mut call, &accepted)
            }
        };
        match result {
            Ok(value) => self.count(value),
            Err(Trouble::Says(what)) => says(format!("{}: {what}", function.name)),
            Err(Trouble::TooLong) => Err(self.too_long()),
        }
    }

    /// Counts what a function made against the bound on texts: values pile up in variables as well as in the output.
    fn count(&mut self, value: Value) -> Outcome<Value> {
        let size = match &value {
            Value::Text(text) | Value::Safe(_, text) => text.len(),
            Value::List(list) => list.items.len() * 16,
            Value::Map(map) => map.entries.len() * 64,
            _ => 0,
        };
        self.made = self.made.saturating_add(size);
        if self.made > self.limits.bytes {
            return Err(self.too_long());
        }
        Ok(value)
    }

    /// The function `tmpl`: renders a template into a value that is safe.
    fn tmpl(&mut self, args: &[Value]) -> Outcome<Value> {
        let name = args.first().and_then(Value::as_text).unwrap_or_default().to_owned();
        let data = args.get(1).cloned().unwrap_or(Value::Nil);
        let html = self.out.html.as_ref().map(|_| Html::default());
        let outside = std::mem::replace(
            &mut self.out,
            Out {
                text: String::new(),
                html,
            },
        );
        self.template(&name, &data)?;
        let inside = std::mem::replace(&mut self.out, outside);
        self.count(Value::Safe(crate::value::Safe::Html, inside.text.into()))
    }
}

fn counted(count: usize) -> String {
    match count {
        0 => "no arguments".to_owned(),
        1 => "1 argument".to_owned(),
        _ => format!("{count} arguments"),
    }
}
