//! From tokens to trees: actions, pipelines, and what may stand where.
//!
//! Invariant: an unknown function, an undefined variable and an `{{ end }}` too many are refused here, with their place.

use crate::error::Place;
use crate::functions::{Dialect, find};
use crate::node::{Branch, Expr, ExprKind, Node, Pipe};
use crate::parse::lex::{Lexeme, Token, lex};

/// Levels of `if`, `range`, parentheses and so on within each other; templates known to us have six.
const DEPTH_MAX: usize = 60;

/// What a text holds: its own body, and the templates it defines.
pub(crate) struct Parsed {
    pub(crate) body: Vec<Node>,
    pub(crate) defined: Vec<(String, Vec<Node>)>,
}

type Fault = (Place, String);

/// Reads a text. `variables` are those that are there from the start, without their `$`.
pub(crate) fn parse(text: &str, dialect: Dialect, variables: &[String]) -> Result<Parsed, Fault> {
    let mut parser = Parser {
        tokens: lex(text)?,
        at: 0,
        dialect,
        variables: std::iter::once("$".to_owned())
            .chain(variables.iter().map(|name| format!("${name}")))
            .collect(),
        ranges: 0,
        depth: 0,
        defined: Vec::new(),
    };
    let (body, end) = parser.list(true)?;
    match end {
        Ended::Text => Ok(Parsed {
            body,
            defined: parser.defined,
        }),
        Ended::End(at) => Err((at, "this `{{ end }}` ends nothing".to_owned())),
        Ended::Else(at) => Err((at, "this `{{ else }}` belongs to nothing".to_owned())),
    }
}

/// What a list of nodes came to its end by.
enum Ended {
    Text,
    End(Place),
    Else(Place),
}

struct Parser {
    tokens: Vec<Lexeme>,
    at: usize,
    dialect: Dialect,
    variables: Vec<String>,
    /// How many `range` are open around here.
    ranges: usize,
    depth: usize,
    defined: Vec<(String, Vec<Node>)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    If,
    With,
    Range,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::If => "if",
            Self::With => "with",
            Self::Range => "range",
        }
    }
}

impl Parser {
    fn peek(&self) -> &Lexeme {
        // The last token is `End`, and nothing steps over it.
        &self.tokens[self.at.min(self.tokens.len() - 1)]
    }

    fn next(&mut self) -> Lexeme {
        let lexeme = self.peek().clone();
        if lexeme.token != Token::End {
            self.at += 1;
        }
        lexeme
    }

    fn skip_space(&mut self) {
        while self.peek().token == Token::Space {
            self.at += 1;
        }
    }

    fn next_word(&mut self) -> Lexeme {
        self.skip_space();
        self.next()
    }

    fn close(&mut self, of: &str) -> Result<(), Fault> {
        let lexeme = self.next_word();
        if lexeme.token == Token::Close {
            return Ok(());
        }
        Err((
            lexeme.at,
            format!("`{}` cannot stand here, in `{{{{ {of} }}}}`", lexeme.text),
        ))
    }

    fn deeper(&mut self, at: Place) -> Result<(), Fault> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err((at, format!("nested deeper than {DEPTH_MAX} levels")));
        }
        Ok(())
    }

    fn list(&mut self, top: bool) -> Result<(Vec<Node>, Ended), Fault> {
        let mut nodes = Vec::new();
        loop {
            let lexeme = self.next();
            match lexeme.token {
                Token::End => return Ok((nodes, Ended::Text)),
                Token::Text(text) => nodes.push(Node::Text(text)),
                _ => {
                    self.skip_space();
                    let word = match &self.peek().token {
                        Token::Word(word) => word.clone(),
                        _ => String::new(),
                    };
                    let at = self.peek().at;
                    match word.as_str() {
                        "end" => {
                            self.next();
                            self.close("end")?;
                            return Ok((nodes, Ended::End(at)));
                        }
                        "else" => {
                            self.next();
                            return Ok((nodes, Ended::Else(at)));
                        }
                        "define" => {
                            if !top {
                                return Err((at, "`define` may only stand outside of everything else".to_owned()));
                            }
                            self.next();
                            self.define(at)?;
                        }
                        _ => nodes.push(self.action(&word, at)?),
                    }
                }
            }
        }
    }

    fn action(&mut self, word: &str, at: Place) -> Result<Node, Fault> {
        let kind = match word {
            "if" => Kind::If,
            "with" => Kind::With,
            "range" => Kind::Range,
            "block" => {
                self.next();
                return self.block(at);
            }
            "template" => {
                self.next();
                let name = self.name("template")?;
                self.skip_space();
                let pipe = if self.peek().token == Token::Close {
                    self.next();
                    None
                } else {
                    Some(self.pipeline("template", &Token::Close, false)?)
                };
                return Ok(Node::Template { at, name, pipe });
            }
            "break" | "continue" => {
                self.next();
                self.close(word)?;
                if self.ranges == 0 {
                    return Err((at, format!("`{word}` stands outside of any `range`")));
                }
                return Ok(if word == "break" { Node::Break } else { Node::Continue });
            }
            _ => return Ok(Node::Action(self.pipeline("an action", &Token::Close, false)?)),
        };
        self.next();
        self.control(kind, at)
    }

    fn control(&mut self, kind: Kind, at: Place) -> Result<Node, Fault> {
        self.deeper(at)?;
        let known = self.variables.len();
        let pipe = self.pipeline(kind.word(), &Token::Close, kind == Kind::Range)?;
        self.ranges += usize::from(kind == Kind::Range);
        let (body, end) = self.list(false)?;
        self.ranges -= usize::from(kind == Kind::Range);
        let missing = || (at, format!("this `{}` has no `{{{{ end }}}}`", kind.word()));
        let otherwise = match end {
            Ended::Text => return Err(missing()),
            Ended::End(_) => Vec::new(),
            Ended::Else(at) => {
                self.skip_space();
                let next = match &self.peek().token {
                    Token::Word(word) if word == "if" && kind == Kind::If => Some(Kind::If),
                    Token::Word(word) if word == "with" && kind == Kind::With => Some(Kind::With),
                    _ => None,
                };
                if let Some(next) = next {
                    // `else if` shares the `{{ end }}` of what it belongs to.
                    let at = self.next().at;
                    vec![self.control(next, at)?]
                } else {
                    self.close("else")?;
                    let (nodes, end) = self.list(false)?;
                    match end {
                        Ended::End(_) => nodes,
                        Ended::Else(second) => {
                            return Err((second, format!("a second `{{{{ else }}}}`; the first is at {at}")));
                        }
                        Ended::Text => return Err(missing()),
                    }
                }
            }
        };
        self.variables.truncate(known);
        self.depth -= 1;
        let branch = Branch { pipe, body, otherwise };
        Ok(match kind {
            Kind::If => Node::If(branch),
            Kind::With => Node::With(branch),
            Kind::Range => Node::Range(branch),
        })
    }

    fn name(&mut self, of: &str) -> Result<String, Fault> {
        let lexeme = self.next_word();
        match lexeme.token {
            Token::Quoted(name) => Ok(name),
            _ => Err((
                lexeme.at,
                format!("`{of}` is followed by a name in quotes, not by `{}`", lexeme.text),
            )),
        }
    }

    fn define(&mut self, at: Place) -> Result<(), Fault> {
        let name = self.name("define")?;
        self.close("define")?;
        let body = self.separate("define", at)?;
        self.defined.push((name, body));
        Ok(())
    }

    fn block(&mut self, at: Place) -> Result<Node, Fault> {
        let name = self.name("block")?;
        let pipe = self.pipeline("block", &Token::Close, false)?;
        let body = self.separate("block", at)?;
        self.defined.push((name.clone(), body));
        Ok(Node::Template {
            at,
            name,
            pipe: Some(pipe),
        })
    }

    /// Reads a body that sees no variable of its surroundings.
    fn separate(&mut self, of: &str, at: Place) -> Result<Vec<Node>, Fault> {
        self.deeper(at)?;
        let variables = std::mem::replace(&mut self.variables, vec!["$".to_owned()]);
        let ranges = std::mem::take(&mut self.ranges);
        let (body, end) = self.list(false)?;
        self.variables = variables;
        self.ranges = ranges;
        self.depth -= 1;
        match end {
            Ended::End(_) => Ok(body),
            Ended::Else(at) => Err((at, format!("a `{of}` has no `{{{{ else }}}}`"))),
            Ended::Text => Err((at, format!("this `{of}` has no `{{{{ end }}}}`"))),
        }
    }

    fn pipeline(&mut self, of: &str, until: &Token, two: bool) -> Result<Pipe, Fault> {
        self.skip_space();
        let at = self.peek().at;
        let (variables, assign) = self.declared(of, two)?;
        let mut commands = Vec::new();
        loop {
            self.skip_space();
            if &self.peek().token == until {
                let end = self.next();
                if commands.is_empty() {
                    return Err((end.at, format!("{of} has no value")));
                }
                // The variable is known after its own pipeline, so that it cannot be used in it.
                if !assign {
                    self.variables.extend(variables.iter().cloned());
                }
                return Ok(Pipe {
                    at,
                    variables,
                    assign,
                    commands,
                });
            }
            let command = self.command(commands.is_empty())?;
            commands.push(command);
        }
    }

    fn declared(&mut self, of: &str, two: bool) -> Result<(Vec<String>, bool), Fault> {
        let start = self.at;
        let mut names = Vec::new();
        while let Token::Variable(name) = &self.peek().token {
            names.push((name.clone(), self.peek().at));
            self.next();
            self.skip_space();
            match self.peek().token {
                Token::Comma if two && names.len() == 1 => {
                    self.next();
                    self.skip_space();
                    if !matches!(self.peek().token, Token::Variable(_)) {
                        return Err((
                            self.peek().at,
                            "after `,` the second variable of the range is missing".to_owned(),
                        ));
                    }
                }
                Token::Declare | Token::Assign => {
                    let assign = self.next().token == Token::Assign;
                    if assign {
                        for (name, at) in &names {
                            self.known(name, *at)?;
                        }
                    }
                    return Ok((names.into_iter().map(|(name, _)| name).collect(), assign));
                }
                Token::Comma if names.len() > 1 || two => {
                    return Err((self.peek().at, format!("{of} takes no third variable")));
                }
                Token::Comma => {
                    return Err((
                        self.peek().at,
                        format!("{of} takes one variable; only `range` takes two"),
                    ));
                }
                _ => break,
            }
        }
        // It was a value.
        self.at = start;
        Ok((Vec::new(), false))
    }

    fn known(&self, name: &str, at: Place) -> Result<(), Fault> {
        if self.variables.iter().any(|known| known == name) {
            return Ok(());
        }
        Err((at, format!("undefined variable `{name}`")))
    }

    fn command(&mut self, first: bool) -> Result<Vec<Expr>, Fault> {
        let mut args = Vec::new();
        loop {
            self.skip_space();
            if let Some(operand) = self.operand()? {
                args.push(operand);
            }
            let lexeme = self.peek().clone();
            match lexeme.token {
                Token::Space => continue,
                // A `|` with nothing after it is let be, as Go does.
                Token::Pipe => {
                    self.next();
                    break;
                }
                Token::Close | Token::CloseParen => break,
                Token::End => return Err((lexeme.at, "this action is not closed".to_owned())),
                _ => return Err((lexeme.at, format!("`{}` cannot stand here", lexeme.text))),
            }
        }
        let Some(word) = args.first() else {
            return Err((self.peek().at, "a value is missing here".to_owned()));
        };
        if !first
            && matches!(
                word.kind,
                ExprKind::Bool(_) | ExprKind::Dot | ExprKind::Nil | ExprKind::Number(_) | ExprKind::Text(_)
            )
        {
            return Err((
                word.at,
                format!("after `|` stands a function or a method, not `{}`", word.text),
            ));
        }
        Ok(args)
    }

    fn operand(&mut self) -> Result<Option<Expr>, Fault> {
        let Some(mut expr) = self.term()? else {
            return Ok(None);
        };
        let mut fields = Vec::new();
        let mut text = expr.text.clone();
        while let Token::Field(name) = &self.peek().token {
            fields.push(name.clone());
            text.push_str(&self.peek().text);
            self.next();
        }
        if fields.is_empty() {
            return Ok(Some(expr));
        }
        match &mut expr.kind {
            ExprKind::Field(names) | ExprKind::Variable(_, names) => names.append(&mut fields),
            ExprKind::Bool(_) | ExprKind::Text(_) | ExprKind::Number(_) | ExprKind::Nil | ExprKind::Dot => {
                return Err((expr.at, format!("`{}` has no fields", expr.text)));
            }
            _ => {
                let at = expr.at;
                let kind = ExprKind::Chain(Box::new(expr), fields);
                return Ok(Some(Expr { at, text, kind }));
            }
        }
        expr.text = text;
        Ok(Some(expr))
    }

    fn term(&mut self) -> Result<Option<Expr>, Fault> {
        let lexeme = self.peek().clone();
        let kind = match lexeme.token {
            Token::Word(word) => match word.as_str() {
                "true" => ExprKind::Bool(true),
                "false" => ExprKind::Bool(false),
                "nil" => ExprKind::Nil,
                "if" | "else" | "end" | "with" | "range" | "define" | "block" | "template" | "break" | "continue" => {
                    return Err((
                        lexeme.at,
                        format!("`{word}` cannot stand here: it starts an action of its own"),
                    ));
                }
                _ => match find(self.dialect, &word) {
                    Some(function) => ExprKind::Call(function),
                    None => return Err((lexeme.at, format!("function `{word}` is not defined"))),
                },
            },
            Token::Dot => ExprKind::Dot,
            Token::Variable(name) => {
                self.known(&name, lexeme.at)?;
                ExprKind::Variable(name, Vec::new())
            }
            Token::Field(name) => ExprKind::Field(vec![name]),
            Token::Number(number) => ExprKind::Number(number),
            Token::Quoted(text) => ExprKind::Text(text),
            Token::OpenParen => {
                self.deeper(lexeme.at)?;
                self.next();
                // A variable declared in parentheses would outlive them; nobody writes that, and Go refuses it in newer versions.
                let pipe = self.pipeline("a parenthesis", &Token::CloseParen, false)?;
                self.depth -= 1;
                let text = "(…)".to_owned();
                return Ok(Some(Expr {
                    at: lexeme.at,
                    text,
                    kind: ExprKind::Pipe(Box::new(pipe)),
                }));
            }
            _ => return Ok(None),
        };
        self.next();
        Ok(Some(Expr {
            at: lexeme.at,
            text: lexeme.text,
            kind,
        }))
    }
}
